"""SPDL's `run_pipeline_in_subprocess`: batches are pickled, and sent through a pipe."""

from __future__ import annotations

from typing import Any

from peers.spdl_pipelines import SpdlLoader

__all__ = ["make_loader"]


def make_loader(
    sequence: Any, workers: int, queue: int, *, start_method: str = "fork"
) -> SpdlLoader:
    return SpdlLoader(sequence, workers, queue, start_method, [None] * workers)
