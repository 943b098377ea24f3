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
    R3  The Sequence itself always stands as it stood when the state was saved (`now`). Only while a
        resumed epoch begins it stands as before that epoch (`at_begin`): `on_epoch_begin` runs
        again, under the same random numbers, and the workers get the Sequence. Then it is put back.
        So what was changed by hand in the middle of an epoch shows in the next one, as it would
        have.
"""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seqloader.errors import call_users, method_name
from seqloader.run.resume.saved_state import ABSENT
from seqloader.sequence.interface import offered

if TYPE_CHECKING:
    from seqloader.order import Cursor, Plan
    from seqloader.run.delivery import Delivery
    from seqloader.run.handovers import Handovers

__all__ = ["Bookmark", "Bookmarks", "carries_state", "copied", "give_state", "take_state"]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where the run stands."""

    cursor: Cursor
    seed: int
    seeded: bool
    plan: Plan | None = None
    """Of the epoch under way."""
    handovers: Handovers | None = None
    """Of the epoch under way."""
    at_begin: Any = ABSENT
    """The Sequence's state before that epoch began; without a plan: before a loaded one did."""
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

    def __init__(self, mark: Bookmark) -> None:
        self._lock = threading.RLock()
        self._mark = mark
        self._before = mark
        """What it was before the epoch under way began."""

    @property
    def mark(self) -> Bookmark:
        """The bookmark."""
        return self._mark

    def read(self, sequence: Any) -> Bookmark:
        """The bookmark, with the Sequence's state. Any thread."""
        with self._lock:
            mark = self._mark
            if mark.now is ABSENT and carries_state(sequence):
                mark = replace(mark, now=take_state(sequence))
            return mark

    def put(self, mark: Bookmark) -> None:
        """The run stands elsewhere: one store."""
        self._mark = mark

    def forget_states(self) -> None:
        """The Sequence is another one now."""
        with self._lock:
            self._mark = replace(self._mark, at_begin=ABSENT, now=ABSENT)
            self._before = replace(self._before, at_begin=ABSENT, now=ABSENT)

    def freeze(self, sequence: Any) -> None:
        """A hook is about to run, or the Sequence about to be given another state."""
        if carries_state(sequence):
            with self._lock:
                if self._mark.now is ABSENT:
                    self._mark = replace(self._mark, now=take_state(sequence))

    def beginning(self, sequence: Any) -> None:
        """An epoch is about to begin."""
        with self._lock:
            mark = self._before = self._mark
            if not carries_state(sequence):
                return
            self._mark = replace(mark, now=take_state(sequence))
            if mark.at_begin is not ABSENT:
                give_state(sequence, mark.at_begin)

    def begun(self, cursor: Cursor, delivery: Delivery, sequence: Any) -> bool:
        """An epoch has begun; returns whether that changed the Sequence."""
        with self._lock:
            mark = self._mark
            changed = self._put_back(sequence)
            self._mark = Bookmark(
                cursor,
                mark.seed,
                mark.seeded,
                delivery.plan,
                delivery.handovers,
                mark.now if mark.at_begin is ABSENT else mark.at_begin,
            )
            return changed

    def failed(self, sequence: Any) -> None:
        """The epoch did not begin."""
        with self._lock:
            self._put_back(sequence)
            self._mark = self._before

    def _put_back(self, sequence: Any) -> bool:
        """Whether the Sequence stood as before a resumed epoch; it does no more."""
        resumed = self._before.at_begin is not ABSENT and self._mark.now is not ABSENT
        if resumed and carries_state(sequence):
            give_state(sequence, self._mark.now)
        return resumed

    def between_epochs(self, cursor: Cursor) -> None:
        """No epoch is under way; the coming one will begin here."""
        with self._lock:
            mark = self._mark
            if mark.plan is None:  # none was
                self._mark = replace(mark, cursor=cursor)
            elif _same_place(mark.cursor, cursor):  # it is as if it had not begun
                self._mark = replace(self._before, cursor=cursor)
            else:
                self._mark = Bookmark(cursor, mark.seed, mark.seeded)


def _same_place(one: Cursor, other: Cursor) -> bool:
    return (one.epoch, one.position, one.first) == (other.epoch, other.position, other.first)


# --- the Sequence's own state -------------------------------------------------------------------


def carries_state(sequence: Any) -> bool:
    """Whether the Sequence saves and loads a state of its own."""
    return callable(offered(sequence, "state_dict")) and callable(
        offered(sequence, "load_state_dict")
    )


def take_state(sequence: Any) -> Any:
    """What the Sequence saves: a copy, since it may hand out what it goes on changing."""
    return copied(call_users(method_name(sequence, "state_dict"), sequence.state_dict))


def give_state(sequence: Any, state: Any) -> None:
    """Let the Sequence load it: a copy, since it may keep and change it."""
    load = sequence.load_state_dict
    call_users(method_name(sequence, "load_state_dict"), load, copied(state))


def copied(state: Any) -> Any:
    """The state, or ABSENT, as no one else has it."""
    if state is ABSENT:
        return state
    # Several times as fast as `deepcopy`: a list of a million indices is taken in every epoch.
    try:
        return pickle.loads(pickle.dumps(state, 5))
    except Exception:
        return copy.deepcopy(state)
