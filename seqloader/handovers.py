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

    def __init__(self, first: int = 0) -> None:
        self._last: Handover | None = None
        self._strays: dict[int, Handover] = {}
        self._next = first

    @property
    def next_position(self) -> int:
        """The first position of the epoch that was neither handed over nor left out. After a torn
        step it is the only truth, so `add` changes it together with what it adds: by one store."""
        last = self._last
        return self._next if last is None else last.position + 1

    @property
    def delivered(self) -> int:
        """The first position of the epoch that was neither delivered nor left out. Any thread.

        A batch that waits to be returned is not delivered yet: whoever saves this and goes on from
        it later gets that batch.
        """
        last = self._last
        if last is None:
            return self._next
        return last.position if last.batch is not None else last.position + 1

    def add(self, batch: Any, position: int, thread: int | None) -> Handover:
        """A batch is about to be returned to a thread; None: it is only shown."""
        self._last = Handover(batch, position, thread)
        return self._last

    def leave_out(self, position: int) -> None:
        """There is nothing to hand over at this position."""
        self._next = position + 1

    def clear(self) -> None:
        """The epoch is over: keep the number, and no batch."""
        self._next = self.delivered
        self._last = None
        self._strays.clear()

    def withdraw(self, position: int) -> None:
        """The batch that waits at this position is not to be handed over after all."""
        self._next = position + 1
        self._last = None

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
