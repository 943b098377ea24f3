"""Copies under way, and the memory that they read until then."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["Copies", "Copy", "Slot"]


class Slot:
    """A place in the ring of pinned buffers."""

    __slots__ = ("buffer", "nbytes")

    def __init__(self) -> None:
        self.buffer: Any = None
        self.nbytes = 0


class Copy:
    """One batch on its way.

    Attributes:
        kept: What the device reads directly, kept alive.
        slot: Of the ring, if some of the batch lies there.
        event: What the stream passes when the copy is done; None: it is being begun, or an
            exception has torn that.
    """

    __slots__ = ("event", "kept", "slot")

    def __init__(self, kept: list[Any], slot: Slot | None) -> None:
        self.kept = kept
        self.slot = slot
        self.event: Any = None


class Copies:
    """In the order in which they were begun, which is that in which they end.

    Args:
        most: How many may be under way.
    """

    def __init__(self, most: int) -> None:
        self.under_way: deque[Copy] = deque()
        self._most = most
        self._free: list[Slot] = []

    @property
    def is_full(self) -> bool:
        """Whether one has to end before another begins."""
        return len(self.under_way) >= self._most

    @property
    def oldest(self) -> Copy | None:
        """The copy that ends next."""
        return self.under_way[0] if self.under_way else None

    def begin(self, kept: list[Any], *, in_ring: bool) -> Copy:
        """A copy is about to begin; it reads what is `kept`, and a slot if some is `in_ring`."""
        assert not self.is_full, "another copy must end first"
        slot = (self._free.pop() if self._free else Slot()) if in_ring else None
        copy = Copy(kept, slot)
        self.under_way.append(copy)
        return copy

    def end_oldest(self) -> None:
        """The oldest copy is done: what it reads may be written again."""
        copy = self.under_way.popleft()
        if copy.slot is not None:
            self._free.append(copy.slot)

    def forget_buffers(self) -> None:
        """Let go of the buffers that no copy reads."""
        self._free.clear()

    def check(self) -> None:
        """Assert what must hold between calls."""
        assert len(self.under_way) <= self._most, (len(self.under_way), self._most)
        slots = [copy.slot for copy in self.under_way if copy.slot is not None] + self._free
        assert len({*map(id, slots)}) == len(slots) <= self._most, "a slot in two places"
