"""A set of positions, kept as ranges: a few numbers, however many positions they stand for."""

from __future__ import annotations

import operator
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["NOTHING", "Ranges"]


class Ranges:
    """Whole numbers >= 0, as ranges (start, stop) that are sorted, not empty, and do not touch.

    It does not change.
    """

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(pairs):
            if start < 0:
                raise ValueError(f"a range of positions cannot begin at {start}")
            if stop <= start:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(stop, merged[-1][1])
            else:
                merged.append((start, stop))
        self.pairs = tuple(merged)
        self._starts = [start for start, _ in merged]
        self._count = sum(stop - start for start, stop in merged)

    @classmethod
    def of(cls, positions: Iterable[Any]) -> Ranges:
        """The set of these whole numbers. A `range` in single steps is never walked through."""
        if isinstance(positions, range) and positions.step == 1:
            return cls([(positions.start, positions.stop)])
        numbers = sorted(map(operator.index, positions))
        return cls((number, number + 1) for number in numbers)

    def __contains__(self, number: int) -> bool:
        return self.after(number) != number

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __or__(self, other: Ranges) -> Ranges:
        return Ranges([*self.pairs, *other.pairs])

    def __sub__(self, other: Ranges) -> Ranges:
        rest = []
        for start, stop in self.pairs:
            for low, high in other.within(start, stop).pairs:
                rest.append((start, low))
                start = high
            rest.append((start, stop))
        return Ranges(rest)

    def __repr__(self) -> str:
        return f"Ranges({list(self.pairs)})"

    def __len__(self) -> int:
        return self._count

    def after(self, number: int) -> int:
        """The first number from `number` on that is not in the set."""
        place = bisect_right(self._starts, number) - 1
        return number if place < 0 else max(number, self.pairs[place][1])

    def within(self, start: int, stop: int | None) -> Ranges:
        """Those numbers of the set that are >= `start` and, if given, < `stop`."""
        return Ranges(
            (max(low, start), high if stop is None else min(high, stop)) for low, high in self.pairs
        )

    # --- the numbers outside of the set, counted from 0 ---------------------------------------

    def nth_outside(self, n: int) -> int:
        """The number that has n numbers below it which are not in the set, and is not either."""
        return n + self._removed[bisect_right(self._thresholds, n)]

    def nths_outside(self, n: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The same for many."""
        if not self.pairs:
            return n
        thresholds = np.array(self._thresholds, np.uint64)
        removed = np.array(self._removed, np.uint64)
        shifted: NDArray[np.uint64] = n + removed[np.searchsorted(thresholds, n, side="right")]
        return shifted

    @cached_property
    def _removed(self) -> list[int]:
        """How many numbers the first 0, 1, 2, ... ranges hold."""
        return [0, *accumulate(stop - start for start, stop in self.pairs)]

    @cached_property
    def _thresholds(self) -> list[int]:
        """From which n on a range lies below the n-th number outside."""
        return [start - before for start, before in zip(self._starts, self._removed, strict=False)]


NOTHING: Final = Ranges()
"""No position. It does not change, so one is enough."""
