"""Whether a process grows, from how much memory it had after how many calls. Pure.

Memory settles first: modules are imported, pools filled, caches begun. So the first third counts
for nothing. Of the rest, the slope is the median of the slopes between any two points, which one
jump cannot move; it must come to more than what memory does by itself, be there in nearly every
step, and not have faded towards the end.
"""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqloader.command.check.facts import Growth

__all__ = ["bytes_per_call", "first_growth", "grows", "noticeable_bytes", "settled"]

NOISE_BYTES = 1_000_000
"""What an allocator does by itself, and less is not told from it."""
MOSTLY = 0.7
"""Of the steps, those in which memory must have grown."""
FADED = 0.3
"""Of the slope of all: what the second half must still have."""


def settled(growth: Growth) -> tuple[tuple[int, int], ...]:
    """The points after the first third of the calls, three at least."""
    points = growth.points[1:]
    end = points[-1][0] if points else 0
    late = tuple(point for point in points if 3 * point[0] >= end)
    return late if len(late) >= 3 else points


def bytes_per_call(growth: Growth) -> float:
    """By how much the settled process grows with each call."""
    return _slope(settled(growth))


def noticeable_bytes(growth: Growth) -> float:
    """Growth per call below which nothing could have been noticed."""
    points = settled(growth)
    return NOISE_BYTES / max(1, points[-1][0] - points[0][0]) if points else float("inf")


def first_growth(growth: Growth) -> int:
    """By how much it grew in the first two rounds, after which it may have settled."""
    points = growth.points
    return points[min(2, len(points) - 1)][1] - points[0][1] if points else 0


def grows(growth: Growth) -> bool:
    """Whether it goes on growing, beyond what memory does by itself."""
    points = settled(growth)
    if len(points) < 3:
        return False
    slope = _slope(points)
    if slope * (points[-1][0] - points[0][0]) < NOISE_BYTES:
        return False
    steps = [later[1] - earlier[1] for earlier, later in itertools.pairwise(points)]
    if sum(step > 0 for step in steps) < MOSTLY * len(steps):
        return False
    second_half = points[len(points) // 2 - 1 :] if len(points) > 3 else points[1:]
    return _slope(second_half) >= FADED * slope


def _slope(points: tuple[tuple[int, int], ...]) -> float:
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in itertools.combinations(points, 2)
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0
