"""The plan of an epoch: which index is due at which position, here on this shard.

A pure function of (length, shuffle, seed, epoch, shard), and for an endless Sequence of its first
index. It keeps nothing, and takes the same memory for any length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from seqloader.order.shuffle import LONGEST, permutation
from seqloader.seeds import check_seed, shuffle_key

if TYPE_CHECKING:
    from seqloader.order.shuffle import Permutation

__all__ = ["Plan", "Shard"]

FEW: Final = 16
"""Up to so many positions are faster one by one than in arrays."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Our part of every epoch: of `count` equal parts, the one with number `id`, from 0."""

    id: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"a shard's count must be at least 1, not {self.count}")
        if not 0 <= self.id < self.count:
            raise ValueError(
                f"a shard's id must be 0 ... {self.count - 1} with count={self.count}, "
                f"not {self.id}"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """The order of one epoch on one shard.

    All shards share one global order; shard j of n delivers its positions j, j + n, j + 2n, ...
    So their union is the epoch, each index once, whatever n is; shards may differ by one batch.

    Args:
        length: Batches in the epoch, over all shards; None: endless.
        shuffle: Whether they come in an order drawn from (seed, epoch). Not with an endless one.
        seed: An int >= 0.
        epoch: Number of the pass, from 0.
        shard: Our part.
        first: Of an endless Sequence: the index at the first shard's position 0.
    """

    length: int | None
    shuffle: bool = False
    seed: int = 0
    epoch: int = 0
    shard: Shard = Shard()
    first: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.epoch < 0:
            raise ValueError(f"epoch must be at least 0, not {self.epoch}")
        if self.first < 0:
            raise ValueError(f"first must be at least 0, not {self.first}")
        if self.length is None:
            if self.shuffle:
                raise ValueError(
                    "an endless Sequence (num_batches is None) has no whole to shuffle: "
                    "use shuffle=False, or give it a length"
                )
            return
        if self.length < 0:
            raise ValueError(f"length must be at least 0, not {self.length}")
        if self.first:
            raise ValueError(f"first={self.first} needs an endless Sequence, not a length")
        if self.shuffle and self.length > LONGEST:
            raise ValueError(f"a length of {self.length} cannot be shuffled; at most 2**62 can")

    @property
    def count(self) -> int | None:
        """Positions on this shard; None: endless."""
        if self.length is None:
            return None
        return -((self.shard.id - self.length) // self.shard.count)

    def index(self, position: int) -> int:
        """Return the index due at `position`. IndexError where there is none."""
        self._check(position, position + 1)
        due = self.first + position * self.shard.count + self.shard.id
        return self._permutation().one(due) if self.shuffle else due

    def indices(self, start: int, stop: int) -> list[int]:
        """Return the indices due at `start` ... `stop` - 1: the same, and faster for many."""
        self._check(start, stop)
        step, offset = self.shard.count, self.first + self.shard.id
        due = range(offset + start * step, offset + stop * step, step)
        if not self.shuffle:
            return list(due)
        order = self._permutation()
        if len(due) <= FEW:
            return [order.one(position) for position in due]
        positions = np.arange(due.start, due.stop, step, dtype=np.uint64)
        indices: list[int] = order.many(positions).tolist()
        return indices

    def _permutation(self) -> Permutation:
        assert self.length is not None
        return _permutation(self.length, self.seed, self.epoch)

    def _check(self, start: int, stop: int) -> None:
        count = self.count
        if not 0 <= start <= stop or (count is not None and stop > count):
            extent = "an endless plan" if count is None else f"a plan of {count}"
            raise IndexError(f"{extent} has no positions {start} ... {stop - 1}")


@lru_cache(maxsize=16)
def _permutation(length: int, seed: int, epoch: int) -> Permutation:
    return permutation(length, shuffle_key(seed, epoch))
