"""tf.data over Python code, sized by its AUTOTUNE: threads call `sequence[index]`, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from peers.peer import end_epoch


class Autotuned:
    def __init__(self, sequence: Any, workers: int, queue: int) -> None:
        import tensorflow as tf  # type: ignore[import-untyped, unused-ignore]

        kinds = [part.dtype for part in sequence[0]]

        def compute(index: Any) -> Any:
            return tf.numpy_function(lambda i: list(sequence[int(i)]), [index], kinds)

        auto, indices = tf.data.AUTOTUNE, tf.data.Dataset.range(np.int64(len(sequence)))
        self._batches = indices.map(compute, num_parallel_calls=auto, deterministic=True)
        self._batches = self._batches.prefetch(auto)
        self._sequence = sequence

    def epoch(self) -> Iterator[Any]:
        yield from self._batches.as_numpy_iterator()
        end_epoch(self._sequence)

    def close(self) -> None:
        self._batches = None
