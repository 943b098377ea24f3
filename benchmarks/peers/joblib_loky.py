"""joblib's `Parallel(return_as="generator", backend="loky")`, one task a batch.

Configured as its documentation says for large arrays: what is larger than 1 MB in the Sequence is
written to a file once, and mapped by the workers (`max_nbytes`, `mmap_mode`). The Sequence travels
with each task, which is how joblib is used. loky keeps its workers from one epoch to the next;
each epoch is a call of a `Parallel` of its own, as everywhere in its documentation. (One that is
called again after an epoch that was left delivers batches of the epoch before.)

No back-pressure: `pre_dispatch` bounds the tasks that were handed out and are not computed yet. A
result that the consumer has not taken counts for nothing, so the workers compute the whole epoch
however slow the consumer is, and its results pile up there.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import warnings
from collections.abc import Iterator
from typing import Any

from peers.peer import end_epoch


class JoblibLoader:
    def __init__(
        self, sequence: Any, workers: int, queue: int, *, timeout_s: float | None = None
    ) -> None:
        import joblib

        self._sequence = sequence
        self._delayed = joblib.delayed(operator.getitem)
        self._new_parallel = functools.partial(
            joblib.Parallel,
            n_jobs=workers,
            backend="loky",
            return_as="generator",
            batch_size=1,
            pre_dispatch=queue,
            max_nbytes="1M",
            mmap_mode="r",
            timeout=timeout_s,
        )
        self._batches: Any = None

    def epoch(self) -> Iterator[Any]:
        tasks = (self._delayed(self._sequence, index) for index in range(len(self._sequence)))
        self._batches = self._new_parallel()(tasks)
        yield from self._batches
        end_epoch(self._sequence)

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        if self._batches is not None:
            # Of a batch that nobody waits for any more, or joblib's warning that there are some.
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._batches.close()
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
