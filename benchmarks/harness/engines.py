"""seqloader and its peers behind one face: open, iterate epochs, close.

Every engine computes at most `in_flight` batches ahead of the consumer, beside the one it holds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["ENGINES", "Engine", "open_engine"]

ENGINES = ("loop", "Pool.imap", "seqloader")


class Engine(Protocol):
    """Something that delivers the batches of a Sequence in order."""

    def epoch(self) -> Iterator[Any]:
        """Begin an epoch, and deliver its batches."""


@contextlib.contextmanager
def open_engine(
    name: str, sequence: Any, *, workers: int, in_flight: int, seed: int | None
) -> Iterator[Engine]:
    """Start the engine of that name, and stop it at the end, also in mid-epoch."""
    if name == "loop":
        yield _Loop(sequence)
    elif name == "Pool.imap":
        with contextlib.closing(_PoolImap(sequence, workers, in_flight)) as pool:
            yield pool
    elif name == "seqloader":
        from seqloader import OrderedEnqueuer

        enqueuer = OrderedEnqueuer(sequence, workers=workers, max_queue_size=in_flight, seed=seed)
        with enqueuer:
            yield _Seqloader(enqueuer)
    else:
        raise ValueError(f"unknown engine {name!r}")


class _Loop:
    """No worker: the consumer computes each batch when it wants it."""

    def __init__(self, sequence: Any) -> None:
        self._sequence = sequence

    def epoch(self) -> Iterator[Any]:
        for index in range(len(self._sequence)):
            yield self._sequence[index]
        _end_epoch(self._sequence)


class _Seqloader:
    def __init__(self, enqueuer: Any) -> None:
        self._enqueuer = enqueuer

    def epoch(self) -> Iterator[Any]:
        return iter(self._enqueuer)


class _PoolImap:
    """`Pool.imap(chunksize=1)` with one pool for all epochs.

    imap itself has no back-pressure: it would compute the whole epoch ahead. A semaphore in the
    generator that feeds it is the least that bounds it. The pool forks, its default where we
    compare, and the cheapest start there is.
    """

    def __init__(self, sequence: Any, workers: int, in_flight: int) -> None:
        self._sequence = sequence
        self._left = threading.Event()
        self._permits = threading.Semaphore(in_flight)
        self._results: Iterator[Any] = iter(())
        context = multiprocessing.get_context("fork")
        self._pool = context.Pool(workers, initializer=_adopt, initargs=(sequence,))

    def epoch(self) -> Iterator[Any]:
        self._results = self._pool.imap(_compute, self._indices())
        for batch in self._results:
            self._permits.release()
            yield batch
        _end_epoch(self._sequence)

    def close(self) -> None:
        # The pool's feeding thread may be waiting for a permit: let it go, and it feeds no more.
        self._left.set()
        self._permits.release()
        # Not terminate(): a worker killed while it writes a large result leaves half of it in
        # the pipe, and the pool's reading thread, and so the join, waits for the rest for ever.
        for _ in self._results:
            pass
        self._pool.close()
        self._pool.join()

    def _indices(self) -> Iterator[int]:
        for index in range(len(self._sequence)):
            self._permits.acquire()
            if self._left.is_set():
                return
            yield index


_adopted: Any = None


def _adopt(sequence: Any) -> None:
    global _adopted
    _adopted = sequence


def _compute(index: int) -> Any:
    return _adopted[index]


def _end_epoch(sequence: Any) -> None:
    on_epoch_end = getattr(sequence, "on_epoch_end", None)
    if on_epoch_end is not None:
        on_epoch_end()
