"""`concurrent.futures.ProcessPoolExecutor` with a deque of futures, one executor for all epochs.

The executor itself accepts any number of tasks, so the window is ours: `queue` futures, of which
the oldest is waited for, and another is submitted for each that was delivered. `Executor.map` is no
alternative: it submits the whole epoch at once.

Workers keep the Sequence they got at their start.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from peers.adopted import adopt, compute
from peers.peer import end_epoch

__all__ = ["make_loader"]


def make_loader(
    sequence: Any,
    workers: int,
    queue: int,
    *,
    start_method: str = "fork",
    timeout_s: float | None = None,
) -> FuturesLoader:
    """An executor; as it does by itself, it starts its workers with the first tasks."""
    return FuturesLoader(sequence, workers, queue, start_method, timeout_s)


class FuturesLoader:
    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        start_method: str,
        timeout_s: float | None,
    ) -> None:
        self._sequence = sequence
        self._queue = queue
        self._timeout_s = timeout_s
        self._executor = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context(start_method),
            initializer=adopt,
            initargs=(sequence,),
        )

    def epoch(self) -> Iterator[Any]:
        length = len(self._sequence)
        futures: deque[Future[Any]] = deque()
        for index in range(min(self._queue, length)):
            futures.append(self._executor.submit(compute, index))
        for index in range(self._queue, self._queue + length):
            batch = futures.popleft().result(self._timeout_s)
            if index < length:
                futures.append(self._executor.submit(compute, index))
            yield batch
        end_epoch(self._sequence)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
