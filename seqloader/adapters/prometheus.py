"""The counts of enqueuers for Prometheus. Extra: `seqloader[prometheus]`.

    from prometheus_client import REGISTRY
    REGISTRY.register(PrometheusCollector(train=enqueuer))

Nothing is counted for it: the snapshot is taken when somebody scrapes, in his thread. Nothing
listens unless `serve()` is called.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

from seqloader.adapters.frameworks import framework
from seqloader.enqueuer import OrderedEnqueuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

__all__ = ["PrometheusCollector", "PrometheusServer"]

COUNTED: Final = {
    "delivered": ("batches_delivered", "Batches handed over"),
    "computed": ("batches_computed", "Times that a worker was through with a batch"),
    "skipped": ("batches_skipped", "Batches left out by on_error"),
    "retried": ("tickets_retried", "Tickets issued again"),
    "respawns": ("workers_died", "Workers that died"),
    "memory_deaths": ("workers_killed_for_memory", "Of these, for want of memory"),
    "shortages": ("worker_shortages", "Workers that could not be replaced at once"),
    "waits": ("batches_waited_for", "Batches that were not there when they were asked for"),
    "nbytes": ("delivered_bytes", "Bytes of the batches handed over"),
    "waited_s": ("waited_seconds", "Time the consumer waited for batches"),
    "handed_s": ("handed_seconds", "Time that handing batches over took the consumer"),
    "loop_s": ("loop_seconds", "Time between batches"),
    "turned_s": ("turned_seconds", "Time for beginning and ending epochs"),
    "first_s": ("first_batch_seconds", "Time waited for the first batch of epochs"),
    "blocked_s": ("blocked_seconds", "Time waited while the full window kept workers idle"),
    "cpu_s": ("worker_cpu_seconds", "CPU time of computing"),
    "encoded_s": ("worker_encode_seconds", "Time of writing batches into shared memory"),
}
"""Of `Stats`, what only rises -> its name and what it is."""
GAUGED: Final = {
    "in_flight": ("batches_in_flight", "Batches being computed, or waiting"),
    "held_batches": ("batches_held", "Batches that the consumer still refers to"),
    "held_bytes": ("held_bytes", "Bytes of these"),
}
"""The same of what also falls."""


class PrometheusCollector:
    """Tells what enqueuers have done, to a registry of `prometheus_client`.

    Each is a label, `enqueuer`. It is referred to weakly: whoever drops it sees it gone from the
    next scrape on.

    Args:
        enqueuers: By the name that they are to have.

    Raises:
        ImportError: prometheus_client is not installed.
        TypeError: None was given, or something else.
    """

    def __init__(self, **enqueuers: OrderedEnqueuer[Any]) -> None:
        framework("prometheus_client", extra="prometheus")
        self._core = framework("prometheus_client.core", extra="prometheus")
        if not enqueuers:
            raise TypeError("give each enqueuer a name: PrometheusCollector(train=enqueuer)")
        for name, enqueuer in enqueuers.items():
            if not isinstance(enqueuer, OrderedEnqueuer):
                kind = type(enqueuer).__qualname__
                raise TypeError(f"{name} must be an OrderedEnqueuer, not a {kind}")
        self._enqueuers = {name: weakref.ref(one) for name, one in enqueuers.items()}

    def describe(self) -> list[Any]:
        """Nothing: then a registry does not ask for the counts when this is registered."""
        return []

    def collect(self) -> Iterator[Any]:
        """The metrics as they are now. Any thread."""
        living = {name: one for name, ref in self._enqueuers.items() if (one := ref()) is not None}
        told = {name: one.stats() for name, one in living.items()}
        for field, (metric, text) in COUNTED.items():
            family = self._core.CounterMetricFamily(
                f"seqloader_{metric}", text, labels=["enqueuer"]
            )
            for name, stats in told.items():
                if (value := getattr(stats, field)) is not None:
                    family.add_metric([name], value)
            yield family
        for field, (metric, text) in GAUGED.items():
            family = self._core.GaugeMetricFamily(f"seqloader_{metric}", text, labels=["enqueuer"])
            for name, stats in told.items():
                family.add_metric([name], getattr(stats, field))
            yield family
        yield self._workers(living)
        yield self._busy(told)

    def _workers(self, living: dict[str, OrderedEnqueuer[Any]]) -> Any:
        family = self._core.GaugeMetricFamily("seqloader_workers", "Workers", labels=["enqueuer"])
        for name, enqueuer in living.items():
            family.add_metric([name], enqueuer.workers)
        return family

    def _busy(self, told: dict[str, Any]) -> Any:
        family = self._core.CounterMetricFamily(
            "seqloader_worker_busy_seconds",
            "Time that workers spent on batches",
            labels=["enqueuer", "slot"],
        )
        for name, stats in told.items():
            for slot, seconds in stats.busy_s.items():
                family.add_metric([name, str(slot)], seconds)
        return family

    def serve(self, port: int = 0, host: str = "127.0.0.1") -> PrometheusServer:
        """Serve these metrics alone over HTTP, from a thread, until it is closed.

        Args:
            port: 0: one that is free, see `PrometheusServer.port`.
            host: The loopback, unless another is said: whoever can connect can read.
        """
        client = framework("prometheus_client", extra="prometheus")
        registry = client.CollectorRegistry()
        registry.register(self)
        return PrometheusServer(*client.start_http_server(port, addr=host, registry=registry))


class PrometheusServer:
    """Serves metrics until `close()`, or the end of a `with`."""

    def __init__(self, server: Any, thread: Any) -> None:
        self._server, self._thread = server, thread
        self.port: int = server.server_port
        """On which it listens."""

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
