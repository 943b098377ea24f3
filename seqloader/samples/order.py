"""The order of samples in an epoch: position -> sample, computed and not stored.

A pure function of (length, shuffle, block length, seed, epoch). It takes the same memory and time
to begin for ten samples as for ten billion.

In blocks
    The samples are cut in blocks of `block_length`; the last may be shorter. The whole blocks come
    in a permuted order, the short one anywhere among them, each place equally likely; and the
    samples of each block are permuted by a permutation of its own. So a batch touches few blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from seqloader.errors.integers import checked_integer
from seqloader.order.shuffle import LONGEST, permutation
from seqloader.randomness.seeds import SAMPLE_ORDER, derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seqloader.order.shuffle import Permutation

    Indices = range | NDArray[np.int64]
    """Samples, in the order of a batch: a range where they lie side by side."""

__all__ = ["Order", "check_count"]

CHUNK: Final = 4096
"""Positions that are computed together, and kept for the batches after: up to here the time goes
into calls of numpy and not into numbers. At most twice the time of one batch is lost where no other
batch uses them."""


@dataclass(frozen=True, slots=True)
class Order:
    """How a Sequence orders its samples.

    Args:
        shuffle: False; True: a permutation of all; "blocks": of blocks, and within each.
        block_length: Samples in a block, with "blocks".

    Raises:
        TypeError, ValueError: an argument is not as above.
    """

    shuffle: Any = False
    block_length: int | None = None

    def __post_init__(self) -> None:
        if type(self.shuffle) not in (bool, str) or self.shuffle not in (False, True, "blocks"):
            raise ValueError(f'shuffle must be False, True or "blocks", not {self.shuffle!r}')
        if self.shuffle != "blocks":
            if self.block_length is not None:
                raise ValueError(
                    f"block_length={self.block_length!r} means something with "
                    f'shuffle="blocks" alone, and shuffle is {self.shuffle!r}'
                )
            return
        if self.block_length is None:
            raise ValueError(
                'shuffle="blocks" needs a block_length: how many samples are read in one run, '
                "for instance those of one chunk of the file"
            )
        length = check_count("block_length", self.block_length)
        object.__setattr__(self, "block_length", length)

    def indices(self, start: int, stop: int, length: int, seed: int, epoch: int) -> Indices:
        """Return the samples at positions `start` ... `stop` - 1 of `length`.

        Returns:
            int64 (stop - start,), or a range.
        """
        if not self.shuffle:
            return range(start, stop)
        if length > LONGEST:
            raise ValueError(f"{length} samples cannot be shuffled; at most 2**62 can")
        if self.block_length is None:
            return _all(length, seed, epoch, start, stop)
        return _blocks(length, self.block_length, seed, epoch).indices(start, stop)


def check_count(name: str, value: Any) -> int:
    """Return `value` as an int; raise TypeError or ValueError for anything but an int >= 1."""
    return checked_integer(name, value, 1, what="a whole number of samples")


def _all(length: int, seed: int, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
    first, last = start // CHUNK, max(start, stop - 1) // CHUNK
    if last - first > 1:
        return _among(permutation(length, _words(seed, epoch)[0]), start, stop)
    found = [_chunk(length, seed, epoch, number) for number in range(first, last + 1)]
    chunk = found[0] if len(found) == 1 else np.concatenate(found)
    return chunk[start - first * CHUNK : stop - first * CHUNK]


@lru_cache(maxsize=8)
def _chunk(length: int, seed: int, epoch: int, number: int) -> NDArray[np.int64]:
    start = number * CHUNK
    order = permutation(length, _words(seed, epoch)[0])
    chunk = _among(order, start, min(start + CHUNK, length))
    chunk.flags.writeable = False
    return chunk


def _among(order: Permutation, start: int, stop: int) -> NDArray[np.int64]:
    return order.many(np.arange(start, stop, dtype=np.uint64)).view(np.int64)


def _words(seed: int, epoch: int, block: int = 0) -> tuple[int, int]:
    """Two words below 2**64 for an epoch, or for one block in it, counted from 1."""
    drawn = derive(SAMPLE_ORDER, seed, epoch, block)
    return int.from_bytes(drawn[:8], "little"), int.from_bytes(drawn[8:16], "little")


class _BlockOfSamples(NamedTuple):
    """A block, where it is due."""

    number: int
    size: int
    begins: int
    """Its first position."""


class _Blocks:
    """The order of one epoch, in blocks."""

    def __init__(self, length: int, block_length: int, seed: int, epoch: int) -> None:
        self._size = block_length
        self._whole, self._rest = divmod(length, block_length)
        self._seed, self._epoch = seed, epoch
        key, word = _words(seed, epoch)
        self._permuted = permutation(self._whole, key)
        # Drawn by itself: the place of the short block among the permuted others would have to be
        # found by undoing a permutation.
        before = word * (self._whole + 1) >> 64
        self._short = _BlockOfSamples(self._whole, self._rest, before * block_length)

    def indices(self, start: int, stop: int) -> NDArray[np.int64]:
        found = [np.empty(0, np.int64)]
        while start < stop:
            block = self._block_at(start)
            end = min(stop, block.begins + block.size)
            order = permutation(block.size, _words(self._seed, self._epoch, block.number + 1)[0])
            inside = _among(order, start - block.begins, end - block.begins)
            found.append(inside + block.number * self._size)
            start = end
        return np.concatenate(found)

    def _block_at(self, position: int) -> _BlockOfSamples:
        short = self._short
        past = self._rest and position >= short.begins
        if past and position < short.begins + short.size:
            return short
        skipped = short.size if past else 0
        rank = (position - skipped) // self._size
        return _BlockOfSamples(self._permuted.one(rank), self._size, rank * self._size + skipped)


@lru_cache(maxsize=16)
def _blocks(length: int, block_length: int, seed: int, epoch: int) -> _Blocks:
    return _Blocks(length, block_length, seed, epoch)
