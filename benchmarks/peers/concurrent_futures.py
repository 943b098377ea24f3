"""`concurrent.futures.ProcessPoolExecutor` with a deque of futures, one executor for all epochs.

The executor itself accepts any number of tasks, so the window is ours: `queue` futures, of which
the oldest is waited for, and another is submitted for each that was delivered. `Executor.map` is no
alternative: it submits the whole epoch at once.

Workers keep the Sequence they got at their start.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from peers.peer import adopt, compute, in_window


class FuturesLoader:
    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        start_method: str = "fork",
        timeout_s: float | None = None,
    ) -> None:
        self._sequence = sequence
        self._queue = queue
        self._timeout_s = timeout_s
        context = multiprocessing.get_context(start_method)
        self._executor = ProcessPoolExecutor(workers, context, adopt, (sequence,))

    def epoch(self) -> Iterator[Any]:
        return in_window(
            self._sequence,
            self._queue,
            ask=lambda index: self._executor.submit(compute, index),
            take=lambda future: future.result(self._timeout_s),
        )

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
