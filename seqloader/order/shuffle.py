"""A permutation that is computed, not stored: position -> index, for any length up to 2**62.

A pure function of (length, key), built from integer arithmetic alone, so that neither numpy nor
Python can change it. One position costs the same for ten batches as for ten billion.

How
    up to 256   the permutation is drawn whole (Fisher-Yates, without bias), and kept
    above       positions are pairs of Z_a x Z_b, a and b next to the root of the length; each of
                eight rounds adds a keyed mix of one half to the other (a Feistel network). A round
                can be undone, so the network is a permutation of a * b. That is a little more
                than the length: what falls beyond goes through the network again, and since it
                came from within, it comes back within (cycle walking).

Both have a form for one position, in Python's integers, and one for many, in numpy's 64-bit words.
They agree on every value.

It is no cipher: whoever wants to find the key can.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["LONGEST", "SHUFFLE_VERSION", "Permutation", "permutation"]

SHUFFLE_VERSION: Final = 1
"""Raised whenever any order changes. A saved state of another version means another order."""

LONGEST: Final = 2**62
"""Greatest length; halves of the network then stay below 2**32, and their mixes below 2**64."""

DRAWN_WHOLE: Final = 256
"""Greatest length whose permutation is drawn and kept: 2 KB, and 0.2 ms to draw."""

ROUNDS: Final = 8
"""Must be even, for the halves to end where they began. At length 257, the hardest, four rounds are
told from chance by 4,000 permutations, six by 40,000, eight by neither."""

CHUNK: Final = 16_384
"""Positions computed at a time: 128 KB an array, so that all four stay in the core's cache."""

_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15
_MIX: Final = 0xBF58_476D_1CE4_E5B9


class Permutation(Protocol):
    """One order of 0 ... length - 1. Positions are not checked: see `Plan`."""

    def one(self, position: int) -> int:
        """Return the index at `position`."""

    def many(self, positions: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the index at each of `positions`."""


@lru_cache(maxsize=16)
def permutation(length: int, key: int) -> Permutation:
    """Return the permutation of 0 ... `length` - 1 that belongs to `key`, a number below 2**64."""
    if not 0 <= length <= LONGEST:
        raise ValueError(f"length must be 0 ... 2**62, not {length}")
    words = _words(length, key)
    return _Drawn(length, words) if length <= DRAWN_WHOLE else _Network(length, words)


def _words(length: int, key: int) -> Iterator[int]:
    """Yield the words that a permutation is made from: splitmix64, started by both arguments."""
    state = _mix((_mix(key) + length) & _MASK)
    while True:
        state = (state + _GOLDEN) & _MASK
        yield _mix(state)


def _mix(word: int) -> int:
    word = (word ^ (word >> 30)) * _MIX & _MASK
    word = (word ^ (word >> 27)) * 0x94D0_49BB_1331_11EB & _MASK
    return word ^ (word >> 31)


class _Drawn:
    def __init__(self, length: int, words: Iterator[int]) -> None:
        order = list(range(length))
        for last in range(length - 1, 0, -1):
            other = _below(last + 1, words)
            order[last], order[other] = order[other], order[last]
        self._order = order
        self._array = np.array(order, dtype=np.uint64)

    def one(self, position: int) -> int:
        return self._order[position]

    def many(self, positions: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return self._array[positions]


def _below(bound: int, words: Iterator[int]) -> int:
    """Return a number below `bound`, each equally likely (Lemire's rejection)."""
    excess = 2**64 % bound
    while True:
        product = next(words) * bound
        if product & _MASK >= excess:
            return product >> 64


class _Network:
    def __init__(self, length: int, words: Iterator[int]) -> None:
        self._length = length
        self._highs = math.isqrt(length - 1) + 1
        self._lows = -(-length // self._highs)
        self._rounds = [(next(words) | 1, next(words)) for _ in range(ROUNDS)]

    def one(self, position: int) -> int:
        while True:
            position = self._once(position)
            if position < self._length:
                return position

    def _once(self, position: int) -> int:
        high, low = divmod(position, self._lows)
        size, other_size = self._highs, self._lows
        for factor, summand in self._rounds:
            mixed = (low * factor + summand) & _MASK
            mixed = (mixed ^ (mixed >> 32)) * _MIX & _MASK
            high, low = low, (high + ((mixed >> 32) * size >> 32)) % size
            size, other_size = other_size, size
        return high * self._lows + low

    def many(self, positions: NDArray[np.uint64]) -> NDArray[np.uint64]:
        indices = np.empty_like(positions)
        for start in range(0, len(positions), CHUNK):
            chunk = self._once_many(positions[start : start + CHUNK])
            while len(beyond := np.flatnonzero(chunk >= np.uint64(self._length))):
                chunk[beyond] = self._once_many(chunk[beyond])
            indices[start : start + CHUNK] = chunk
        return indices

    def _once_many(self, positions: NDArray[np.uint64]) -> NDArray[np.uint64]:
        # In place throughout: a fresh array for each step would take twice as long.
        lows, half = np.uint64(self._lows), np.uint64(32)
        high, low = np.divmod(positions, lows)
        mixed, spare = np.empty_like(high), np.empty_like(high)
        size, other_size = np.uint64(self._highs), lows
        for factor, summand in self._rounds:
            np.multiply(low, np.uint64(factor), out=mixed)
            np.add(mixed, np.uint64(summand), out=mixed)
            np.right_shift(mixed, half, out=spare)
            np.bitwise_xor(mixed, spare, out=mixed)
            np.multiply(mixed, np.uint64(_MIX), out=mixed)
            np.right_shift(mixed, half, out=mixed)
            np.multiply(mixed, size, out=mixed)
            np.right_shift(mixed, half, out=mixed)
            np.add(high, mixed, out=high)
            # Modulo: below `size` the difference wraps round to a huge number.
            np.subtract(high, size, out=spare)
            np.minimum(high, spare, out=high)
            high, low = low, high
            size, other_size = other_size, size
        high *= lows
        high += low
        return high
