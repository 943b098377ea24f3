"""Where the run stands, kept so that any thread can read it at any moment.

Actors
    consumer   changes the bookmark: when an epoch begins or ends, around hooks, on a jump
    reader     `state_dict()`: any thread, a signal handler, a hook; takes none of the enqueuer's
               locks, since the consumer holds it while it waits for a batch

Rules
    R1  A bookmark does not change; it is replaced by one store. How far the epoch has been
        delivered is asked of its handovers, which know it in one store as well.
    R2  The Sequence's own state is read by the reader, but never while a hook runs: before a hook
        the consumer takes it and freezes it. Both happen under a lock that nobody keeps waiting.
    R3  A state that was saved while an epoch was under way holds the Sequence's state before
        `on_epoch_begin` too: the hook runs again on the way back, under the same random numbers.
        What was changed since then is put back once the workers have got the Sequence, because that
        is when it was changed: the epoch's batches do not show it, and the next epoch's do.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seqloader.order import Cursor
from seqloader.saved_state import ABSENT

if TYPE_CHECKING:
    from seqloader.delivery import Delivery
    from seqloader.handovers import Handovers
    from seqloader.order import Plan

__all__ = ["Bookmark", "Bookmarks", "carries_state", "give_state", "take_state"]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where the run stands."""

    cursor: Cursor
    plan: Plan | None = None
    """Of the epoch under way."""
    handovers: Handovers | None = None
    """Of the epoch under way."""
    at_begin: Any = ABSENT
    """The Sequence's state before that epoch began."""
    now: Any = ABSENT
    """The Sequence's state, where it is frozen; else it is to be asked for."""
    length: Any = ABSENT
    """Of the Sequence, where a loaded state said so."""

    @property
    def position(self) -> int:
        """The next to be delivered."""
        return self.cursor.position if self.handovers is None else self.handovers.delivered


class Bookmarks:
    """The bookmark of one enqueuer, as it is replaced."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._mark = Bookmark(Cursor())
        self._loaded: Bookmark | None = None
        """What was loaded, while it is not known whether a batch will be asked for."""
        self._retraced = False
        """Whether an epoch was begun from it."""

    def read(self, sequence: Any) -> Bookmark:
        """The bookmark, with the Sequence's state. Any thread."""
        with self._lock:
            mark = self._mark
            if mark.now is ABSENT and carries_state(sequence):
                mark = replace(mark, now=take_state(sequence))
            return mark

    def place(self, mark: Bookmark) -> None:
        """The run was brought elsewhere."""
        with self._lock:
            self._mark = mark
            self._loaded = None if mark.at_begin is ABSENT else mark
            self._retraced = False

    def stand_at(self, mark: Bookmark) -> bool:
        """Whether this is the bookmark."""
        return self._mark is mark

    def skipping(self, cursor: Cursor) -> None:
        """The same place, with more to be skipped."""
        with self._lock:
            self._mark = replace(self._mark, cursor=cursor)

    def freeze(self, sequence: Any) -> None:
        """A hook is about to run."""
        if carries_state(sequence):
            with self._lock:
                if self._mark.now is ABSENT:
                    self._mark = replace(self._mark, now=take_state(sequence))

    def beginning(self, sequence: Any) -> None:
        """An epoch is about to begin."""
        if not carries_state(sequence):
            return
        with self._lock:
            if self._loaded is None:
                state = take_state(sequence)
                self._mark = replace(self._mark, at_begin=state, now=state)
            elif self._retraced:  # the epoch was begun, and then again before a batch was asked for
                give_state(sequence, self._loaded.at_begin)
            self._retraced = True

    def begun(self, cursor: Cursor, delivery: Delivery, sequence: Any) -> bool:
        """An epoch has begun; returns whether that changed the Sequence."""
        with self._lock:
            mark, loaded = self._mark, self._loaded
            if loaded is not None:
                give_state(sequence, loaded.now)
            self._mark = Bookmark(cursor, delivery.plan, delivery.handovers, mark.at_begin)
            return loaded is not None

    def between_epochs(self, cursor: Cursor) -> None:
        """No epoch is under way; the coming one will begin here."""
        with self._lock:
            loaded = self._loaded
            if loaded is not None and _same_place(loaded.cursor, cursor):
                self._mark = replace(loaded, cursor=cursor)
            else:
                self._loaded = None
                self._mark = Bookmark(cursor)


def _same_place(one: Cursor, other: Cursor) -> bool:
    return (one.epoch, one.position, one.first) == (other.epoch, other.position, other.first)


# --- the Sequence's own state -------------------------------------------------------------------


def carries_state(sequence: Any) -> bool:
    """Whether the Sequence saves and loads a state of its own."""
    return callable(getattr(sequence, "state_dict", None)) and callable(
        getattr(sequence, "load_state_dict", None)
    )


def take_state(sequence: Any) -> Any:
    """What the Sequence saves: a copy, since it may hand out what it goes on changing."""
    return copy.deepcopy(sequence.state_dict())


def give_state(sequence: Any, state: Any) -> None:
    """Let the Sequence load it: a copy, since it may keep and change it."""
    sequence.load_state_dict(copy.deepcopy(state))
