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

    __slots__ = ("_last", "_next", "_strays")

    def __init__(self) -> None:
        self._last: Handover | None = None
        self._strays: dict[int, Handover] = {}
        self._next = 0

    @property
    def next_position(self) -> int:
        """The first position of the epoch that was neither handed over nor left out. After a torn
        step it is the only truth, so `add` changes it together with what it adds: by one store."""
        last = self._last
        return self._next if last is None else last.position + 1

    def clear(self) -> None:
        """Forget everything: another epoch."""
        self._last = None
        self._strays.clear()
        self._next = 0

    def add(self, batch: Any, position: int, thread: int | None) -> Handover:
        """A batch is about to be returned to a thread; None: it is only shown."""
        self._last = Handover(batch, position, thread)
        return self._last

    def leave_out(self, position: int) -> None:
        """There is nothing to hand over at this position."""
        self._next = position + 1

    def waiting(self, me: int) -> Handover | None:
        """A batch that was found for this thread and never reached it, or was only shown."""
        last = self._last
        if last is not None:
            if last.batch is not None and (last.thread is None or last.thread == me):
                return last
            if last.batch is not None and last.thread is not None:
                # That thread is about to return it, or was interrupted and will come back for it.
                self._strays[last.thread] = last
            self._next = last.position + 1
            self._last = None
        if self._strays:
            stray = self._strays.get(me)
            if stray is not None and stray.batch is not None:
                return stray
        return None

    def undelivered(self, me: int) -> int | None:
        """Position of the batch that waits for this thread, or was only shown; None: there is none.

        What another thread was given counts as delivered: it is about to return it.
        """
        last = self._last
        if last is not None and last.batch is not None and last.thread in (None, me):
            return last.position
        return None
