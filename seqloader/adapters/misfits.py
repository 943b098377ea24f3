"""What trainers are told that does not fit, and that they would not notice."""

from __future__ import annotations

import warnings
from typing import Any

from seqloader.errors import SeqloaderWarning

__all__ = ["warn_if_shards_misfit", "warn_of_unsaved_place"]


def warn_if_shards_misfit(enqueuer: Any, processes: int, cure: str) -> None:
    """Warn where several processes train, and the batches are not dealt out among as many.

    Args:
        enqueuer: Of this process.
        processes: That each get a part of the data.
        cure: What to do, beside `shard="auto"`.
    """
    id, count = enqueuer.shard
    if count == processes:
        return
    what = "all of the batches" if count == 1 else f"part {id} of {count}"
    warnings.warn(
        SeqloaderWarning(
            f"{processes} process{'es' if processes > 1 else ''} train, and the loader of this one "
            f'gives it {what}. Give the loader shard="auto", and {cure}'
        ),
        stacklevel=3,
    )


def warn_of_unsaved_place(cure: str) -> None:
    """Warn that a checkpoint does not say where a loader stood."""
    warnings.warn(
        SeqloaderWarning(
            "this checkpoint does not say where the loader stood, so training goes on where the "
            "trainer alone brings it: some batches may come twice, and some never. Save "
            f"checkpoints with {cure}"
        ),
        stacklevel=3,
    )
