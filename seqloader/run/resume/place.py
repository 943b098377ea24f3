"""Where the run stands: one record, kept so that any thread can read it at any moment.

Actors
    consumer   replaces the record: when an epoch begins or ends, around hooks, on a jump
    reader     `state_dict()`: any thread, a signal handler, a hook; takes none of the enqueuer's
               locks, since the consumer holds it while it waits for a batch

Rules
    R1  A place does not change; it is replaced by one store, and nothing of it is kept anywhere
        else. How far the epoch has been delivered is asked of its handovers, which know it in one
        store as well.
    R2  The Sequence's own state is read by the reader, but never while a hook runs: before a hook
        the consumer takes it and freezes it. Both happen under a lock that nobody keeps waiting.
    R3  The Sequence itself always stands as it stood when the state was saved (`now`). Only while a
        resumed epoch begins it stands as before that epoch (`at_begin`): `on_epoch_begin` runs
        again, under the same random numbers, and the workers get the Sequence. Then it is put back.
        So what was changed by hand in the middle of an epoch shows in the next one, as it would
        have.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.run.resume.own_state import carries_state, give_state, take_state
from seqloader.run.resume.saved_state import ABSENT

if TYPE_CHECKING:
    from seqloader.order import Cursor, Plan, Ranges
    from seqloader.randomness.seeding import Seeding
    from seqloader.run.handovers import Handovers
    from seqloader.run.resume.saved_state import SavedState

__all__ = ["Place", "PlaceStore"]


class Place(NamedTuple):
    """Where the run stands."""

    cursor: Cursor
    """Where the epoch under way began; between epochs, where the coming one will."""
    seeding: Seeding
    coming: Cursor | None = None
    """Where the coming epoch will begin, from the end of one until its hook has run."""
    plan: Plan | None = None
    """Of the epoch under way."""
    handovers: Handovers | None = None
    """Of the epoch under way."""
    at_begin: Any = ABSENT
    """The Sequence's state before that epoch began; without a plan: before a loaded one did."""
    now: Any = ABSENT
    """The Sequence's state, where it is frozen; else it is to be asked for."""
    loaded: SavedState | None = None
    """From what the run was brought here: its length may be known only when the epoch begins."""
    strict: bool = True
    """Whether that must fit."""

    @property
    def position(self) -> int:
        """The next to be delivered."""
        return self.cursor.position if self.handovers is None else self.handovers.delivered

    @property
    def next(self) -> Cursor:
        """As `cursor`; once an epoch has ended, of the coming one."""
        return self.coming or self.cursor

    @property
    def length(self) -> Any:
        """Of the Sequence, None for endless; ABSENT where nothing says so."""
        if self.plan is not None:
            return self.plan.length
        return self.loaded.length if self.loaded is not None and self.strict else ABSENT

    def skipping(self, epoch: int, positions: Ranges) -> Place:
        """The same place, with more to be skipped."""
        return self._replace(
            cursor=self.cursor.skipping(epoch, positions),
            coming=None if self.coming is None else self.coming.skipping(epoch, positions),
        )

    def between_epochs(self, before: Place) -> Place:
        """No epoch is under way; `before` is the place before that epoch began."""
        if self.plan is None:  # none was
            return self
        if self.coming is None:  # it is as if it had not begun
            return before._replace(cursor=self.cursor)
        return Place(self.coming, self.seeding)


class PlaceStore:
    """The place of one run, as it is replaced."""

    def __init__(self, place: Place) -> None:
        self._lock = threading.RLock()
        self.place = self._before = place
        """Where the run stands. `_before`: what it was before the epoch under way began."""

    def check(self) -> None:
        """Assert what holds between any two calls."""
        place = self.place
        assert (place.plan is None) == (place.handovers is None), "half an epoch is under way"
        assert place.coming is None or place.plan is not None, f"{place.coming} comes after nothing"
        if place.handovers is not None:
            assert place.position >= place.cursor.position, "the epoch goes backwards"

    def read(self, sequence: Any) -> Place:
        """The place, with the Sequence's state. Any thread."""
        with self._lock:
            place = self.place
            if place.now is ABSENT and carries_state(sequence):
                place = place._replace(now=take_state(sequence))
            return place

    def put(self, place: Place) -> None:
        """The run stands elsewhere: one store."""
        self.place = place

    def forget_states(self) -> None:
        """The Sequence is another one now."""
        with self._lock:
            self.place = self.place._replace(at_begin=ABSENT, now=ABSENT)
            self._before = self._before._replace(at_begin=ABSENT, now=ABSENT)

    def freeze(self, sequence: Any) -> None:
        """A hook is about to run, or the Sequence about to be given another state."""
        if carries_state(sequence):
            with self._lock:
                if self.place.now is ABSENT:
                    self.place = self.place._replace(now=take_state(sequence))

    def beginning(self, sequence: Any) -> None:
        """An epoch is about to begin."""
        self.settle()
        with self._lock:
            place = self._before = self.place
            if not carries_state(sequence):
                return
            self.place = place._replace(now=take_state(sequence))
            if place.at_begin is not ABSENT:
                give_state(sequence, place.at_begin)

    def begun(self, cursor: Cursor, plan: Plan, handovers: Handovers, sequence: Any) -> bool:
        """An epoch has begun; returns whether that changed the Sequence."""
        with self._lock:
            place = self.place
            changed = self._put_back(sequence)
            at_begin = place.now if place.at_begin is ABSENT else place.at_begin
            self.place = Place(cursor, place.seeding, None, plan, handovers, at_begin)
            return changed

    def failed(self, sequence: Any) -> None:
        """The epoch did not begin."""
        with self._lock:
            self._put_back(sequence)
            self.place = self._before

    def _put_back(self, sequence: Any) -> bool:
        """Whether the Sequence stood as before a resumed epoch; it does no more."""
        resumed = self._before.at_begin is not ABSENT and self.place.now is not ABSENT
        if resumed and carries_state(sequence):
            give_state(sequence, self.place.now)
        return resumed

    def ended(self, first: int) -> None:
        """The epoch under way has ended, and its hook may run; the next one begins at `first` of
        the global order."""
        cursor = self.place.cursor
        self.place = self.place._replace(coming=cursor.at(cursor.epoch + 1, first=first))

    def settle(self) -> None:
        """No epoch is under way, and no hook is due."""
        with self._lock:
            self.place = self.place.between_epochs(self._before)
