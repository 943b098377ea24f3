"""Arrays that share memory: which travel as one region of it, and are views of it on arrival.

An array by itself travels as its elements. Where several of them overlap, that would send the same
memory many times (a list of windows), and writing to one would no longer show in the other. So
these become views of one region, which is sent once.

# Note [What a region may cost]
A region holds everything from its lowest byte to its highest. A small view of a huge array, alone,
travels as its elements; two columns of a matrix of a thousand columns overlap in their ranges, but
most of what lies between belongs to neither. So a region is made only where it is at most some
times as large as the elements that it replaces; else only from those arrays that fill their ranges.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.arrays import byte_bounds
from seqloader.executors.process.wire.views import Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Regions", "find_regions"]

_MOST_GROWTH: Final = 4
"""Times the elements' bytes that a region may take. See the note."""
_FREE_BYTES: Final = 1 << 16
"""Regions up to it may be made whatever the elements take."""


class Regions:
    """Finds the region that an array lies in."""

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        self._regions = sorted(regions, key=lambda region: region.address)
        self._starts = [region.address for region in self._regions]

    def __bool__(self) -> bool:
        return bool(self._regions)

    @property
    def nbytes(self) -> int:
        """Of all of them."""
        return sum(region.nbytes for region in self._regions)

    def find(self, array: NDArray[Any]) -> Region | None:
        """The region that holds all elements, if there is one."""
        if not array.size:
            return None
        low, high = byte_bounds(array)
        number = bisect.bisect_right(self._starts, low) - 1
        if number < 0:
            return None
        region = self._regions[number]
        return region if high <= region.address + region.nbytes else None


class _Range(NamedTuple):
    low: int
    high: int
    array: NDArray[Any]


def find_regions(arrays: Iterable[NDArray[Any]]) -> Regions:
    """The regions that arrays (not of objects) share, two or more of them each."""
    ranges = [_Range(*byte_bounds(array), array) for array in arrays if array.size]
    ranges.sort(key=lambda one: one[:2])
    found: list[Region] = []
    for cluster in _clusters(ranges):
        region = _region(cluster)
        alone = sum(min(one.high - one.low, one.array.nbytes) for one in cluster)
        if region.nbytes <= max(_FREE_BYTES, _MOST_GROWTH * alone):
            found.append(region)
        else:
            filled = [one for one in cluster if one.high - one.low <= one.array.nbytes]
            found.extend(map(_region, _clusters(filled)))
    return Regions(found)


def _clusters(ranges: list[_Range]) -> list[list[_Range]]:
    """Those of ranges in order that overlap, together; what overlaps nothing is left out."""
    clusters: list[list[_Range]] = []
    end = 0
    for one in ranges:
        if one.low < end:
            clusters[-1].append(one)
        else:
            clusters.append([one])
        end = max(end, one.high)
    return [cluster for cluster in clusters if len(cluster) > 1]


def _region(cluster: list[_Range]) -> Region:
    low = cluster[0].low
    high = max(one.high for one in cluster)
    return Region(low, high - low, [one.array for one in cluster])
