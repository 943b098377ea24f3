"""Where measured batches come from: a plain loop, or an enqueuer. One epoch follows another."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.command.faults import SequenceFault, users_code
from seqloader.enqueuer import OrderedEnqueuer
from seqloader.sequence.interface import count_batches, run_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seqloader.stats import Stats

__all__ = ["Counts", "Feed", "LoopCount", "loop_feed", "workers_feed"]


class Counts(NamedTuple):
    """Over all batches so far."""

    busy_s: float
    nbytes: int


@dataclass(frozen=True)
class Feed:
    """Batches, and since when they have been asked for."""

    batches: Iterator[Any]
    begun_s: float
    workers: int
    queue: int
    """How wide its window is."""
    stats: Callable[[], Stats] | None = None
    """None: nobody counts, as in the plain loop."""

    def counts(self) -> Counts:
        """What was counted until now."""
        if self.stats is None:
            return Counts(0.0, 0)
        stats = self.stats()
        return Counts(sum(stats.busy_s.values()), stats.nbytes)


@dataclass
class LoopCount:
    """What the plain loop came to know of the Sequence."""

    batches_per_epoch: int | None = None


def loop_feed(sequence: Any, found: LoopCount) -> Feed:
    """The loop that everybody writes first, with nothing of seqloader in it."""
    return Feed(_loop(sequence, found), time.perf_counter(), 0, 0)


def _loop(sequence: Any, found: LoopCount) -> Iterator[Any]:
    for epoch in itertools.count():
        with users_code(f"raised at the beginning of epoch {epoch}, in the plain loop"):
            run_hook(sequence, "on_epoch_begin")
            count = found.batches_per_epoch = count_batches(sequence)
        served = 0
        for index in itertools.count() if count is None else range(count):
            try:
                batch = sequence[index]
            except (Exception, SystemExit):
                with users_code(f"raised by batch {index} (epoch {epoch}), in the plain loop"):
                    raise
            if batch is not None:
                served += 1
                yield batch
        with users_code(f"raised by on_epoch_end of epoch {epoch}, in the plain loop"):
            run_hook(sequence, "on_epoch_end")
        if not served:
            why = "its length is 0" if count == 0 else "every batch is None"
            raise SequenceFault(ValueError(f"the Sequence has no batch to measure: {why}"))


@contextmanager
def workers_feed(sequence: Any, **options: Any) -> Iterator[Feed]:
    """An enqueuer, with these options of its constructor. It is stopped at the end."""
    begun_s = time.perf_counter()
    with users_code():
        enqueuer = OrderedEnqueuer(sequence, **options)
        enqueuer.start()
    with enqueuer:
        workers, queue = enqueuer.workers, enqueuer.max_queue_size
        yield Feed(_stream(enqueuer), begun_s, workers, queue, enqueuer.stats)
        with users_code():
            enqueuer.stop()  # runs a hook of the user's


def _stream(enqueuer: OrderedEnqueuer[Any]) -> Iterator[Any]:
    with users_code():
        yield from enqueuer.get()
