"""What both SPDL loaders have in common: one pipeline in a subprocess for each worker.

Worker w computes batches w, w + workers, ... one at a time (concurrency 1), and the consumer takes
one from each in turn. `queue` is shared out: one batch for a pipeline's sink, the others of its
share for the queue between the processes. Beside them the stages have batches in hand that no
option takes away.

A pipeline drops an item that fails, and goes on, unless it is told to stop: `max_failures=0`.

SPDL forks by default. Its processes serve all epochs, and keep the Sequence they got at their
start. They end when the last reference to their iterable is dropped: there is no method for it. A
worker that is in mid-epoch then may need the three seconds after which it is terminated.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

from peers.peer import end_epoch

__all__ = ["SpdlLoader", "batches_per_worker"]


def batches_per_worker(workers: int, queue: int) -> int:
    """One pipeline's share of the batches in flight; two at least, or it cannot overlap."""
    return max(2, queue // workers)


class SpdlLoader:
    """Merges the batches of the workers' pipelines in order."""

    def __init__(
        self, sequence: Any, workers: int, queue: int, start_method: str, arenas: Iterable[Any]
    ) -> None:
        from spdl.pipeline import PipelineBuilder, run_pipeline_in_subprocess

        self._sequence = sequence
        self._workers = workers
        self._pipelines: list[Any] = []
        for worker, arena in zip(range(workers), arenas, strict=True):
            builder = PipelineBuilder()
            builder.add_source(range(worker, len(sequence), workers))
            builder.pipe(sequence.__getitem__, concurrency=1)
            builder.add_sink(1)
            pipeline = run_pipeline_in_subprocess(
                builder.get_config(),
                num_threads=1,
                max_failures=0,
                buffer_size=batches_per_worker(workers, queue) - 1,
                mp_context=start_method,
                arena=arena,
            )
            self._pipelines.append(pipeline)
        self._streams: list[Any] = []

    def epoch(self) -> Iterator[Any]:
        self._streams = [iter(pipeline) for pipeline in self._pipelines]
        for index in range(len(self._sequence)):
            yield next(self._streams[index % self._workers])
        for stream in self._streams:
            next(stream, None)  # the word that the epoch is over
        end_epoch(self._sequence)

    def close(self) -> None:
        """Drop all references: at once, since each may take its three seconds."""
        for stream in self._streams:
            stream.close()
        self._streams = []
        droppers = [threading.Thread(target=self._pipelines.pop) for _ in self._pipelines]
        for dropper in droppers:
            dropper.start()
        for dropper in droppers:
            dropper.join()
