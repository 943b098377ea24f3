"""seqloader on Ray: the enqueuer, with actors on this node of Ray's; or on another one, which is on
this machine too: its batches are sent from store to store over the loopback interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peers.on_ray import settings, start_ray, stop_ray


class RayEnqueuer:
    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        store_bytes: int,
        elsewhere: bool = False,
        alone: bool = False,
    ) -> None:
        self._cluster = two_nodes(store_bytes) if elsewhere else None
        self._folder = "" if elsewhere else start_ray(workers, store_bytes)
        from seqloader import OrderedEnqueuer
        from seqloader.executors.ray import RayExecutor, chunks

        if alone:  # a call for each batch, however tiny
            chunks.TINY_S = 0.0  # type: ignore[misc]
        resources = {"other": 1.0} if elsewhere else {}
        executor = RayExecutor(workers, num_cpus=0, resources=resources)
        self._enqueuer = OrderedEnqueuer(sequence, executor=executor, max_queue_size=queue)
        self._enqueuer.start()

    def epoch(self) -> Iterator[Any]:
        return iter(self._enqueuer)

    def close(self) -> None:
        self._enqueuer.stop()
        stop_ray(self._folder)
        if self._cluster is not None:
            self._cluster.shutdown()


def two_nodes(store_bytes: int) -> Any:
    """A cluster of one node for the consumer and one for actors, to which we are connected."""
    settings()
    import ray
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": store_bytes}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **store})
    cluster.add_node(num_cpus=4, resources={"other": 100}, **store)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False, configure_logging=False)
    return cluster
