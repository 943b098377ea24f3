"""SPDL's `run_pipeline_in_subprocess`: one pipeline in a subprocess for each worker.

Worker w computes batches w, w + workers, ... one at a time (concurrency 1), and the consumer takes
one from each in turn. `queue` is shared out: one batch for a pipeline's sink, the others of its
share for the queue between the processes. Beside them the stages have batches in hand that no
option takes away.

A pipeline drops an item that fails, and goes on, unless it is told to stop: `max_failures=0`.

SPDL forks by default. Its processes serve all epochs, and keep the Sequence they got at their
start. They end when the last reference to their iterable is dropped: there is no method for it. A
worker that is in mid-epoch then may need the three seconds after which it is terminated.

By default batches are pickled, and sent through a pipe. In an arena (`SharedMemorySegmentPool`), a
worker copies each batch into one of its pool's segments, which are used again; the consumer gets
views of it, without a copy. A segment is used again once its views are gone. Two segments more than
a worker's share of `queue`: the one being written, and the one that the consumer holds. A consumer
that keeps more batches than that waits, and gets an error after 60 s. The pool's lock belongs to
the default start method of `multiprocessing`, which is therefore changed. At its end, Python's
resource tracker complains on standard error about segments that were forgotten twice: that is this
version of SPDL, not the loader.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

from peers.peer import end_epoch

SEGMENT_BYTES = 256 * 1024 * 1024
"""Has to be known beforehand: above all batches that we measure. Pages that are never written take
no memory."""


class SpdlLoader:
    """Merges the batches of the workers' pipelines in order."""

    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        start_method: str = "fork",
        in_arena: bool = False,
    ) -> None:
        from spdl.pipeline import (
            PipelineBuilder,
            SharedMemorySegmentPool,
            run_pipeline_in_subprocess,
        )

        # One pipeline's share of the batches in flight; two at least, or it cannot overlap.
        share = max(2, queue // workers)
        if in_arena:
            multiprocessing.set_start_method(start_method, force=True)
        self._sequence = sequence
        self._workers = workers
        self._pipelines: list[Any] = []
        for worker in range(workers):
            arena = SharedMemorySegmentPool(SEGMENT_BYTES, share + 2) if in_arena else None
            builder = PipelineBuilder()
            builder.add_source(range(worker, len(sequence), workers))
            builder.pipe(sequence.__getitem__, concurrency=1)
            builder.add_sink(1)
            pipeline = run_pipeline_in_subprocess(
                builder.get_config(),
                num_threads=1,
                max_failures=0,
                buffer_size=share - 1,
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
