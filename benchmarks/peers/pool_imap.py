"""`multiprocessing.Pool.imap` with one pool for all epochs.

imap itself has no back-pressure: it would compute the whole epoch ahead. A semaphore in the
generator that feeds it is the least that bounds it. With chunks a worker is handed several indices
at once and answers once for all of them, as the documentation advises for long iterables; that is
cheaper, and coarser: a chunk begins when the window has room for all of it. `queue` bounds the
batches in flight either way, so a chunk never has more indices than that.

The pool forks, its default where we compare, and the cheapest start there is. Workers keep the
Sequence they got at their start: what `on_epoch_end` changes is not seen by them.
"""

from __future__ import annotations

import atexit
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

from peers.peer import adopt, compute, end_epoch


class PoolImap:
    """A pool whose workers run. `chunk` indices go to a worker at a time.

    A batch may take `timeout_s`; imap knows no such limit where it works in chunks.
    """

    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        chunk: int = 1,
        start_method: str = "fork",
        timeout_s: float | None = None,
    ) -> None:
        self._sequence = sequence
        self._queue = queue
        self._chunk = min(chunk, queue)
        self._timeout_s = timeout_s
        self._gate = _Gate(queue)
        self._is_broken = False
        context = multiprocessing.get_context(start_method)
        self._pool = context.Pool(workers, initializer=adopt, initargs=(sequence,))
        atexit.register(self._shut_gate)  # later than the pool's own, so it is called before

    def epoch(self) -> Iterator[Any]:
        self._gate.shut()  # that of an epoch that was left
        gate = self._gate = _Gate(self._queue)
        results: Any = self._pool.imap(compute, gate.pass_range(len(self._sequence)), self._chunk)
        timeout = () if self._timeout_s is None or self._chunk > 1 else (self._timeout_s,)
        take = results.next if timeout else results.__next__
        while True:
            try:
                batch = take(*timeout)
            except StopIteration:
                break
            except BaseException:
                self._is_broken = True
                gate.shut()
                raise
            gate.release()
            yield batch
        end_epoch(self._sequence)

    def close(self) -> None:
        self._shut_gate()
        atexit.unregister(self._shut_gate)
        if self._is_broken:
            self._pool.terminate()  # as `with Pool()` does
        # Otherwise not: a worker killed while it writes a large result leaves half of it in the
        # pipe, and the pool's reading thread, and so the join, waits for the rest for ever.
        self._pool.close()
        self._pool.join()

    def _shut_gate(self) -> None:
        self._gate.shut()


class _Gate(threading.Semaphore):
    """Lets the indices of one epoch pass, while no more than `queue` are on their way."""

    is_shut = False

    def pass_range(self, length: int) -> Iterator[int]:
        for index in range(length):
            self.acquire()
            if self.is_shut:
                return
            yield index

    def shut(self) -> None:
        """The pool's feeding thread may be waiting for a permit: let it go, and feed no more."""
        self.is_shut = True
        self.release()
