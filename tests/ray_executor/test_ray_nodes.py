"""Several nodes, on one machine: one goes without a word, another joins late."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("ray", reason="the Ray executor needs Ray")

from cluster_faults import HEALTH, actors_of, epoch_with, kill_at_random
from numbered import Numbered

from seqloader import OrderedEnqueuer
from seqloader.executors.ray import RayExecutor

pytestmark = [
    pytest.mark.leaks_ok(reason="Ray keeps threads, files and processes of its own"),
    pytest.mark.limit(120),
]

ACTORS = "actors"
"""A resource of nodes that are to have actors: the head, which the consumer is on, is to have
none."""


@pytest.fixture(scope="module")
def cluster():
    """A head with the consumer, and a node with room for one actor."""
    ray = pytest.importorskip("ray", reason="the Ray executor needs Ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in HEALTH.items():
            patch.setenv(name, value)
        store = {"object_store_memory": 150 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **store})
        cluster.room = lambda: cluster.add_node(num_cpus=1, resources={ACTORS: 1}, **store)
        cluster.room()
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def enqueuer_over(workers, length=120, size=16, **options):
    executor = RayExecutor(workers, resources={ACTORS: 1}, num_cpus=0)
    sequence = Numbered(length, size, sleep_s=0.003)
    return OrderedEnqueuer(sequence, executor=executor, max_queue_size=10, **options)


@pytest.mark.parametrize("size", [16, 1 << 17], ids=["small", "1-MB"])
def test_a_node_that_goes_without_a_word_costs_no_batch(cluster, size):
    node = cluster.room()
    cluster.wait_for_nodes()
    with enqueuer_over(2, size=size) as enqueuer:
        list(enqueuer)  # both are there
        assert len([actor for actor in actors_of(enqueuer) if actor.is_ready]) == 2

        outcome = epoch_with(enqueuer, lambda _: cluster.remove_node(node, False), at=40)

        assert outcome.is_exact(120), outcome
        while not enqueuer.stats().respawns:  # its actor may live for some seconds longer
            assert epoch_with(enqueuer, lambda _: None, at=0).is_exact(120)
        assert sum(actor.is_ready for actor in actors_of(enqueuer)) == 1


def test_it_goes_on_with_those_there_are_and_a_node_that_joins_late_gets_an_actor(cluster, until):
    with enqueuer_over(2) as enqueuer:
        assert epoch_with(enqueuer, lambda _: None, at=0).is_exact(120)
        assert sum(actor.is_ready for actor in actors_of(enqueuer)) == 1

        node = cluster.room()
        until(lambda: sum(actor.is_ready for actor in actors_of(enqueuer)) == 2)
        pids = {batch[1] for batch in enqueuer}

        assert len(pids) == 2
    cluster.remove_node(node, True)


@pytest.mark.soak
@pytest.mark.limit(1200)
@pytest.mark.parametrize(
    ("size", "length"), [(128, 200), (1 << 17, 120), (4_812_500, 30)], ids=["1KB", "1MB", "38.5MB"]
)
def test_kills_at_random_instants_cost_no_batch(cluster, size, length):
    rng = random.Random(size)
    for _ in range(20):
        with enqueuer_over(1, length, size) as enqueuer:
            at = rng.randrange(1, length - 5)
            outcome = epoch_with(enqueuer, kill_at_random(enqueuer, rng), at)

        assert outcome.is_exact(length), outcome
