"""Batches on their way from a call of ours into the hands of the thread that asked.

Rule
    A batch is handed over by one act, or not at all: whoever finds it takes it out of the handover
    by the last act of `__next__` (see iterators.py). Until then it is nobody's. A thread that found
    it and was interrupted, or that another thread's turn overtook, has no claim: the next thread
    that asks finds the same handover, and whoever comes second sees that it is empty and asks anew.
    So there is one handover at most that is not taken, and a thread that never comes back takes
    nothing with it.

    Whoever iterates may not be the user: a prefetch to a device takes batches ahead of him. It says
    how far they have reached him (`ahead_of`), and only those count as delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Handover", "Handovers"]


class Handover:
    """A batch for whoever asks next. `__next__` takes it out as its last act: `batch` is None."""

    __slots__ = ("batch", "position")

    def __init__(self, batch: Any, position: int) -> None:
        self.batch = batch
        self.position = position


class Handovers:
    """The handover made last."""

    __slots__ = ("_last", "_next", "ahead_of")

    def __init__(self, first: int = 0) -> None:
        self._last: Handover | None = None
        self._next = first
        self.ahead_of: Callable[[], int | None] | None = None
        """Where batches are taken ahead of the user: the first position that has not reached him;
        None: all have. Any thread asks."""

    @property
    def next_position(self) -> int:
        """The first position of the epoch that was neither handed over nor left out. After a torn
        step it is the only truth, so `add` changes it together with what it adds: by one store."""
        last = self._last
        return self._next if last is None else last.position + 1

    @property
    def delivered(self) -> int:
        """The first position of the epoch that was neither delivered nor left out. Any thread.

        A batch that waits to be returned, or was taken ahead, is not delivered yet: whoever saves
        this and goes on from it later gets that batch.
        """
        first = None if self.ahead_of is None else self.ahead_of()
        return self.taken if first is None else first

    @property
    def taken(self) -> int:
        """As `delivered`, but what was taken ahead of the user counts."""
        last = self._last
        if last is None or last.batch is not None:
            return self._next  # not the position that waits: others may be skipped before it
        return last.position + 1

    def add(self, batch: Any, position: int) -> Handover:
        """A batch is about to be returned, or shown. The one before it was taken."""
        self._last = Handover(batch, position)
        return self._last

    def skip(self, position: int) -> None:
        """There is nothing to hand over at this position."""
        self._next = position + 1

    def clear(self) -> None:
        """The epoch is over: keep the number, and no batch."""
        self._go_on_at(self.delivered)
        self.ahead_of = None

    def discard(self, position: int) -> None:
        """The batch that waits at this position is not handed over after all."""
        self._go_on_at(position + 1)

    def _go_on_at(self, next_position: int) -> None:
        last = self._last
        self._next = next_position
        self._last = None
        if last is not None:
            last.batch = None  # for a thread that has found it and not taken it yet

    def waiting(self) -> Handover | None:
        """A batch that was found, and never reached anybody, or was only shown."""
        last = self._last
        if last is None:
            return None
        if last.batch is not None:
            return last
        self._next = last.position + 1
        self._last = None
        return None

    @property
    def undelivered(self) -> int | None:
        """Position of the batch that waits; None: there is none."""
        last = self._last
        return last.position if last is not None and last.batch is not None else None
