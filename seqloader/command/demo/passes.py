"""One pass over the data set in a plain loop, and one through the enqueuer, both measured."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seqloader.command.chaos import Chaos
from seqloader.command.footprint import tree_memory_bytes
from seqloader.enqueuer import OrderedEnqueuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from seqloader.command.demo.pictures import PictureBatch, PictureSequence

__all__ = [
    "ArrayChecksum",
    "BatchChecksum",
    "Passed",
    "checksum",
    "enqueuer_pass",
    "plain_pass",
]

MEMORY_EVERY_BATCHES = 4
"""Asking the kernel for the memory of all processes costs some milliseconds."""


class ArrayChecksum(NamedTuple):
    """What must be equal in two arrays for them to count as identical."""

    dtype: str
    shape: tuple[int, ...]
    crc32: int


BatchChecksum = tuple[ArrayChecksum, ...]


def checksum(batch: PictureBatch) -> BatchChecksum:
    """Type, shape and a checksum of the bytes of each array in a batch."""
    return tuple(
        ArrayChecksum(array.dtype.str, array.shape, zlib.crc32(np.ascontiguousarray(array).data))
        for array in batch
    )


@dataclass
class Passed:
    """What one pass over all epochs delivered, and what it cost.

    Attributes:
        epochs: the checksum of every batch of every epoch, as delivered.
        elapsed_s: the whole pass, starting workers and taking checksums included.
        waited_s: of that, what the loop spent waiting for its next batch.
        peak_memory_bytes: the most that this process and its workers occupied.
        sample: the first batch of the last epoch, where it was asked for.
        kills, respawns: workers killed on purpose, and workers replaced.
    """

    name: str
    epochs: list[list[BatchChecksum]] = field(default_factory=list)
    elapsed_s: float = 0.0
    waited_s: float = 0.0
    peak_memory_bytes: int = 0
    sample: PictureBatch | None = None
    kills: int = 0
    respawns: int = 0

    @property
    def delivered(self) -> int:
        return sum(map(len, self.epochs))

    @property
    def batches_per_s(self) -> float:
        return self.delivered / self.elapsed_s

    def run_epoch(
        self,
        batches: Iterable[PictureBatch],
        after_batch: Callable[[int], None],
        *,
        keep_sample: bool = False,
    ) -> None:
        """Take all of `batches`, as a training loop would."""
        checksums: list[BatchChecksum] = []
        self.epochs.append(checksums)
        asked = perf_counter()
        iterator = iter(batches)
        while True:
            batch = next(iterator, None)
            self.waited_s += perf_counter() - asked
            if batch is None:
                return
            if keep_sample and self.sample is None:
                self.sample = batch
            checksums.append(checksum(batch))
            if self.delivered % MEMORY_EVERY_BATCHES == 1:
                self.peak_memory_bytes = max(self.peak_memory_bytes, tree_memory_bytes())
            after_batch(self.delivered)
            asked = perf_counter()


def plain_pass(
    sequence: PictureSequence, epochs: int, after_batch: Callable[[int], None]
) -> Passed:
    """The loop that everybody writes first, with nothing of seqloader in it."""
    result = Passed("plain loop")
    started = perf_counter()
    for _ in range(epochs):
        result.run_epoch((sequence[i] for i in range(len(sequence))), after_batch)
        sequence.on_epoch_end()
    result.elapsed_s = perf_counter() - started
    return result


def enqueuer_pass(
    sequence: PictureSequence,
    epochs: int,
    after_batch: Callable[[int], None],
    *,
    workers: int | None,
    chaos: bool,
) -> Passed:
    """The same through `OrderedEnqueuer`; `chaos` kills workers on the way."""
    killer = Chaos(epochs * len(sequence)) if chaos else None

    def after(delivered: int) -> None:
        after_batch(delivered)
        if killer is not None:
            killer.strike(delivered)

    started = perf_counter()
    with OrderedEnqueuer(sequence, workers=workers) as enqueuer:
        result = Passed(f"enqueuer, workers={enqueuer.workers}")
        for epoch in range(epochs):
            result.run_epoch(enqueuer, after, keep_sample=epoch == epochs - 1)
        result.elapsed_s = perf_counter() - started
        result.respawns = enqueuer.stats().respawns
    result.kills = killer.kills if killer is not None else 0
    return result
