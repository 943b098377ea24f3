"""SPDL's `run_pipeline_in_subprocess` with `SharedMemorySegmentPool`: recycled shared memory.

A worker copies each batch into one of its pool's segments; the consumer gets views of it, without a
copy. A segment is used again once its views are gone. Two segments more than a worker's share of
`queue`: the one being written, and the one that the consumer holds. A consumer that keeps more
batches than that waits, and gets an error after 60 s.

The size of a segment has to be known beforehand. The default is above all batches that we measure;
pages that are never written take no memory.

The pool's lock belongs to the default start method of `multiprocessing`, which is therefore changed
for another `start_method`. At its end, Python's resource tracker complains on standard error about
segments that were forgotten twice: that is this version of SPDL, not the loader.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

from peers.spdl_pipelines import SpdlLoader, batches_per_worker

__all__ = ["make_loader"]

SEGMENT_BYTES = 256 * 1024 * 1024


def make_loader(
    sequence: Any,
    workers: int,
    queue: int,
    *,
    start_method: str = "fork",
    segment_bytes: int = SEGMENT_BYTES,
) -> SpdlLoader:
    """Pipelines whose processes run, each with a pool of its own."""
    from spdl.pipeline import SharedMemorySegmentPool

    multiprocessing.set_start_method(start_method, force=True)
    segments = batches_per_worker(workers, queue) + 2
    arenas = [SharedMemorySegmentPool(segment_bytes, segments) for _ in range(workers)]
    return SpdlLoader(sequence, workers, queue, start_method, arenas)
