"""Batches on their way from a call of ours into the hands of the thread that asked."""

from __future__ import annotations

from typing import Any

__all__ = ["Handover", "Handovers"]


class Handover:
    """A batch for one thread. `__next__` takes it out as its last act: `batch` is None then."""

    __slots__ = ("batch", "counted", "position", "thread")

    def __init__(self, batch: Any, position: int, thread: int | None) -> None:
        self.batch = batch
        self.counted = False
        """Whether it is in the count of delivered batches."""
        self.position = position
        self.thread = thread
        """None: whoever asks next, after a `peek`."""


class Handovers:
    """The handover made last, and those that other threads have not taken yet."""

    __slots__ = ("_last", "_strays", "next_position")

    def __init__(self) -> None:
        self._last: Handover | None = None
        self._strays: dict[int, Handover] = {}
        self.next_position = 0
        """The first position of the epoch that was neither handed over nor left out. After a torn
        step it is the only truth."""

    def clear(self) -> None:
        """Forget everything: another epoch."""
        self._last = None
        self._strays.clear()
        self.next_position = 0

    def add(self, batch: Any, position: int, thread: int) -> Handover:
        """A batch is about to be returned to a thread."""
        handover = Handover(batch, position, thread)
        # In this order: torn between the two, the batch is there and may be computed again too,
        # and `waiting` finds it before any later one.
        self._last = handover
        self.next_position = position + 1
        return handover

    def leave_out(self, position: int) -> None:
        """There is nothing to hand over at this position."""
        self.next_position = position + 1

    def waiting(self, me: int | None) -> Handover | None:
        """A batch that was found for this thread and never reached it, or was peeked at.

        Args:
            me: the thread that asks; None: `peek`, which may see anybody's.
        """
        last = self._last
        if last is not None:
            if last.batch is None:
                self._last = None
            elif last.thread is None or me is None or last.thread == me:
                last.thread = me
                return last
            else:
                # That thread is about to return it, or was interrupted and will come back for it.
                self._strays[last.thread] = last
                self._last = None
        if self._strays and me is not None:
            stray = self._strays.get(me)
            if stray is not None and stray.batch is not None:
                return stray
        return None
