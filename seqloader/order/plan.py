"""The plan of an epoch: which index is due at which position, here on this shard.

A pure function of (length, shuffle, seed, epoch, shard), and of where in the epoch it begins. It
keeps nothing, and takes the same memory for any length.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np

from seqloader.errors.integers import checked_integer
from seqloader.order.ranges import NOTHING, Ranges
from seqloader.order.shuffle import LONGEST, permutation
from seqloader.randomness.seeds import check_seed, shuffle_key

if TYPE_CHECKING:
    from seqloader.order.shuffle import Permutation

__all__ = ["REMAINDERS", "Plan", "Remainder", "Shard"]

Remainder: TypeAlias = Literal["drop", "pad", "uneven"]
REMAINDERS: Final[tuple[str, ...]] = get_args(Remainder)
"""What may become of the batches that cannot be dealt out evenly."""

FEW: Final = 16
"""Up to so many positions are faster one by one than in arrays."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Our part of every epoch: of `count` equal parts, the one with number `id`, from 0."""

    id: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        checked_integer("a shard's count", self.count, 1)
        if not 0 <= self.id < self.count:
            raise ValueError(
                f"a shard's id must be 0 ... {self.count - 1} with count={self.count}, "
                f"not {self.id}"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """The order of one epoch on one shard.

    All shards share one global order; shard j of n delivers its positions j, j + n, j + 2n, ...
    So their union is the epoch, each index once, whatever n is. Where n does not divide what is to
    be delivered, `remainder` says what becomes of the rest.

    An epoch that was begun on another number of shards goes on from a global position (`first`),
    without those that were skipped then (`left_out`): what remains is dealt out in the same way,
    and this shard's positions count from 0 again.

    Args:
        length: Batches in the epoch, over all shards; None: endless.
        shuffle: Whether they come in an order drawn from (seed, epoch). Not with an endless one.
        seed: An int >= 0.
        epoch: Number of the pass, from 0.
        shard: Our part.
        first: Where in the global order the first shard's position 0 is. Beyond the length: at the
            end of the epoch.
        remainder: "uneven": the first shards deliver one batch more. "drop": the rest is delivered
            by nobody. "pad": batches from the beginning are repeated to fill up the others.
        left_out: Global positions that nobody delivers.
    """

    length: int | None
    shuffle: bool = False
    seed: int = 0
    epoch: int = 0
    shard: Shard = Shard()
    first: int = 0
    remainder: Remainder = "uneven"
    left_out: Ranges = NOTHING

    # Follow from the rest, and are found once: an epoch asks for them again and again.
    remaining: int | None = field(init=False, repr=False, compare=False)
    """Batches from `first` on that all shards together deliver; None: endless."""
    padding_from: int | None = field(init=False, repr=False, compare=False)
    """The first position on this shard that would repeat a batch; None: endless."""
    count: int | None = field(init=False, repr=False, compare=False)
    """Positions on this shard; None: endless."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        checked_integer("epoch", self.epoch, 0)
        checked_integer("first", self.first, 0)
        if self.remainder not in REMAINDERS:
            raise ValueError(f"remainder must be one of {REMAINDERS}, not {self.remainder!r}")
        if self.length is None:
            if self.shuffle:
                raise ValueError(
                    "an endless Sequence (num_batches is None) has no whole to shuffle: "
                    "use shuffle=False, or give it a length"
                )
        else:
            checked_integer("length", self.length, 0)
            if self.shuffle and self.length > LONGEST:
                raise ValueError(f"a length of {self.length} cannot be shuffled; at most 2**62 can")
            object.__setattr__(self, "first", min(self.first, self.length))
        if self.left_out:
            relevant = self.left_out.within(self.first, self.length)
            object.__setattr__(self, "left_out", relevant)
        self._find_counts()

    def __reduce__(self) -> Any:
        return Plan, tuple(getattr(self, one.name) for one in fields(self) if one.init)

    def _find_counts(self) -> None:
        remaining = padding_from = count = None
        if self.length is not None:
            shards = self.shard.count
            remaining = self.length - self.first - len(self.left_out)
            count = padding_from = max(0, -((self.shard.id - remaining) // shards))
            if self.remainder != "uneven":
                count = remaining // shards + (self.remainder == "pad" and remaining % shards > 0)
        object.__setattr__(self, "remaining", remaining)
        object.__setattr__(self, "padding_from", padding_from)
        object.__setattr__(self, "count", count)

    @property
    def real_at_the_end(self) -> int | None:
        """How many shards deliver a batch that is no padding at the last position; None: endless.

        They are the first ones.
        """
        remaining, count, shards = self.remaining, self.count, self.shard.count
        if remaining is None or count is None:
            return None
        return min(shards, remaining - (count - 1) * shards) if count else 0

    def index(self, position: int) -> int:
        """Return the index due at `position`. IndexError where there is none."""
        self._check(position, position + 1)
        due = self._global(position * self.shard.count + self.shard.id)
        return self._permutation().one(due) if self.shuffle else due

    def indices(self, start: int, stop: int) -> list[int]:
        """Return the indices due at `start` ... `stop` - 1: the same, and faster for many."""
        self._check(start, stop)
        real = self.padding_from
        if stop - start <= FEW or (real is not None and stop > real):
            return [self.index(position) for position in range(start, stop)]
        step, offset = self.shard.count, self.shard.id
        if not self.shuffle and not self.left_out:
            offset += self.first
            return list(range(offset + start * step, offset + stop * step, step))
        turns = np.arange(offset + start * step, offset + stop * step, step, dtype=np.uint64)
        turns += np.uint64(self.first)
        due = self.left_out.nths_outside(turns)
        indices: list[int] = (self._permutation().many(due) if self.shuffle else due).tolist()
        return indices

    def reached(self, position: int) -> int:
        """Where in the global order all shards together are, when each is before `position`."""
        turn = position * self.shard.count
        if self.remaining is not None and turn >= self.remaining:
            assert self.length is not None
            return self.length
        return self._global(turn)

    def _global(self, turn: int) -> int:
        """The global position whose turn it is, when turns are counted over all shards."""
        remaining = self.remaining
        if remaining is not None and turn >= remaining:
            turn %= remaining  # padding
        return self.left_out.nth_outside(self.first + turn)

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
