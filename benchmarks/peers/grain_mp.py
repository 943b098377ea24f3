"""Grain's `MapDataset ... mp_prefetch`: one process a worker, arrays through shared memory.

No reading threads in the workers, as Grain's own documentation recommends for data that need no
waiting (`ReadOptions(num_threads=0)`): then a worker computes one batch at a time. Each has its
share of `queue` as its buffer; a thread in the consumer keeps another as large.

Grain's defaults, 16 threads and a buffer of 500 batches in each worker, are no entry of their own:
500 batches of 38.5 MB are more than the memory of the machines we measure on.

Arrays of 64 KiB and more get a new piece of shared memory each (`min_shm_size`), which Grain frees
when the array is dropped; smaller ones are pickled. By default even an array of a few bytes gets
one.

`repeat()` makes one stream of all epochs. Without it every epoch starts its processes anew, which
takes seconds. So the first batches of an epoch are computed before `on_epoch_end` has run; the
workers would not see its changes anyhow, they keep the Sequence they got at their start.

Grain only spawns, so the Sequence must be importable or picklable by cloudpickle. It wants the
flags of absl to be parsed, which a program that is not absl's must say they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peers.peer import end_epoch

MIN_SHARED_BYTES = 64 * 1024
"""Below it a pipe is cheaper than a file descriptor and fresh pages."""


class GrainLoader:
    def __init__(self, sequence: Any, workers: int, queue: int) -> None:
        from absl import flags

        flags.FLAGS.mark_as_parsed()
        import grain

        self._sequence = sequence
        stream = (
            grain.MapDataset.source(sequence)
            .repeat()
            .to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
        )
        stream = grain.experimental.WithOptionsIterDataset(
            stream, grain.experimental.DatasetOptions(min_shm_size=MIN_SHARED_BYTES)
        )
        self._dataset = stream.mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=workers, per_worker_buffer_size=max(1, queue // workers)
            )
        )
        self._batches: Any = None
        self._is_within_epoch = False

    def epoch(self) -> Iterator[Any]:
        if self._is_within_epoch:
            self.close()  # the stream is somewhere in the epoch that was left
        if self._batches is None:
            self._batches = iter(self._dataset)
        self._is_within_epoch = True
        for _ in range(len(self._sequence)):
            yield next(self._batches)
        self._is_within_epoch = False
        end_epoch(self._sequence)

    def close(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None
