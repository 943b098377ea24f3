"""The parts of a batch: arrays that user code built in the arena (`seqloader.empty`).

Found by the chain of bases under an array, which ends at the block's `Hold`. A part's block is
delivered as it is, if nothing but the batch refers to it; that is only known when the batch is
gone and the hold's references can be counted.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.executors.process.worker.arena import Hold

if TYPE_CHECKING:
    import pickle

__all__ = ["HeldPart", "find_buffer_parts", "find_parts"]


class HeldPart:
    """The range of one hold that a batch uses, in bytes of the hold."""

    __slots__ = ("hold", "start", "stop")

    def __init__(self, hold: Hold, start: int, stop: int) -> None:
        self.hold = hold
        self.start = start
        self.stop = stop

    def is_alone(self) -> bool:
        """Whether nothing but this part refers to the memory."""
        return sys.getrefcount(self.hold) <= _ALONE


def find_parts(leaves: list[Any]) -> tuple[list[HeldPart], list[Any]]:
    """The parts of a batch, and for each leaf (part, offset in it), or None: it is copied."""
    ranges = [_range_in_hold(leaf) for leaf in leaves]
    return _merge(ranges)


def find_buffer_parts(
    buffers: list[pickle.PickleBuffer], raws: list[memoryview]
) -> tuple[list[HeldPart], list[Any]]:
    """As `find_parts`, for the buffers beside a pickle."""
    ranges: list[tuple[Hold, int, int, int] | None] = []
    for buffer, raw in zip(buffers, raws, strict=True):
        hold = _hold_under(memoryview(buffer).obj) if raw.nbytes and not raw.readonly else None
        if hold is None:
            ranges.append(None)
            continue
        address = np.frombuffer(raw, np.uint8).__array_interface__["data"][0]
        low = address - _address(hold)
        ranges.append((hold, low, low, low + raw.nbytes))
    return _merge(ranges)


def _merge(
    ranges: list[tuple[Hold, int, int, int] | None],
) -> tuple[list[HeldPart], list[Any]]:
    found: dict[int, HeldPart] = {}
    for entry in ranges:
        if entry is not None:
            hold, low, _, high = entry
            part = found.setdefault(id(hold), HeldPart(hold, low, high))
            part.start = min(part.start, low)
            part.stop = max(part.stop, high)
    numbers: dict[int, int] = {}
    for key, part in found.items():
        block = part.hold.block
        # Lending a large block for a few bytes of it would keep it from use for nothing.
        if block is not None and (part.stop - part.start) * 2 >= block.size:
            numbers[key] = len(numbers) + 1
    places = [
        None
        if entry is None or id(entry[0]) not in numbers
        else (numbers[id(entry[0])], entry[2] - found[id(entry[0])].start)
        for entry in ranges
    ]
    return [found[key] for key in numbers], places


def _range_in_hold(leaf: Any) -> tuple[Hold, int, int, int] | None:
    """(hold, lowest byte, first element's byte, end), in bytes of the hold."""
    hold = _hold_under(leaf.base)
    if hold is None or not leaf.size or not leaf.flags.writeable:
        return None
    first = leaf.__array_interface__["data"][0] - _address(hold)
    low, high = first, first + leaf.itemsize
    for length, stride in zip(leaf.shape, leaf.strides, strict=True):
        if length > 1 and stride == 0:  # one element with many names; a copy has one each
            return None
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return hold, low, first, high


def _address(hold: Any) -> int:
    return ctypes.addressof(hold)


def _hold_under(view: Any) -> Hold | None:
    """The hold at the end of a chain of bases."""
    while view is not None:
        if isinstance(view, Hold):
            return view if view.block is not None else None
        if isinstance(view, np.ndarray):
            view = view.base
        elif isinstance(view, memoryview):
            view = view.obj
        else:
            return None
    return None


def _count_alone() -> int:
    part = HeldPart(Hold(), 0, 0)
    return sys.getrefcount(part.hold)


_ALONE: Final = _count_alone()
"""References where nothing else refers to a hold: the count differs between Python versions."""
