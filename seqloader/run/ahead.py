"""Epochs that are computed before they begin, while the last batches of this one are delivered.

An epoch of few batches leaves workers idle at each turn. Where nothing of the user's runs between
two epochs, the coming one is planned as if it began at once, and its tickets follow those of the
epoch under way; then those of the one after it, as far as there is room.

Rules, beside those of epochs.py; `docs/architecture/run.md` shows a turn
    R12 Tickets ahead are issued after all of the epoch under way, and count with them: what is in
        flight in all stays within `max_queue_size` and `max_queue_bytes`.
    R13 Nothing of it is delivered, said or saved before it begins. Its tries, deaths and errors are
        its own, and are raised in its turn.
    R14 It begins as it was planned, if all that it was planned from still holds (`Basis`). In doubt
        everything ahead is thrown away, and nothing is being computed when the Sequence is sent.
        After that it is tried again only when some epochs have passed, more each time in a row: who
        binds something anew before every epoch would have batches computed for nothing.
    R15 Only an epoch that was delivered whole hands on to it. Whatever else happens (a hook that is
        there now, a jump, an epoch left early, a torn step, a stop) throws it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.errors import ResumeError
from seqloader.executors.protocol import runs_ahead
from seqloader.randomness.drawn_values import Disagreements
from seqloader.run.epoch import Epoch
from seqloader.run.resume.fit import planned_at
from seqloader.run.resume.place import Place
from seqloader.sequence.bindings import bindings, same_bindings

if TYPE_CHECKING:
    from seqloader.order import Cursor, Plan, Ranges, Window
    from seqloader.run.observed import Observed
    from seqloader.run.session import Session
    from seqloader.run.subject import Subject
    from seqloader.sequence.bindings import Bindings

__all__ = ["Ahead", "Basis"]

LONGEST_PAUSE: Final = 64
"""Epochs without anything ahead, at most, after what was planned has not held."""


class Basis(NamedTuple):
    """What the batches of an epoch follow from, and which of them are asked for. Pure."""

    sequence: Any
    bound: Bindings
    """Its attributes, as they were when the workers were last sent it."""
    plan: Plan
    """Length, order, seed, number, shard."""
    start: int = 0
    """The first position."""
    skips: Ranges | None = None

    def holds(self, now: Basis) -> bool:
        """Whether an epoch that was planned from this may begin as what is found `now`."""
        return (
            self.sequence is now.sequence
            and (self.plan, self.start, self.skips) == (now.plan, now.start, now.skips)
            and same_bindings(self.bound, now.bound)
        )


class Ahead:
    """The epochs after the one under way, in their order.

    It is referred to by the one under way and by no other, so that there is no circle, and whoever
    drops a run drops its epochs at once.
    """

    def __init__(self, subject: Subject, session: Session, observed: Observed) -> None:
        self.whole = -1
        """Number of the last epoch that was delivered whole in this session."""
        self.unsaid: list[Warning] = []
        """What epochs that were thrown away had to say: the next one says it."""
        self._subject = subject
        self._session = session
        self._observed = observed
        self._disagreements = Disagreements()
        self._planned: dict[int, tuple[Epoch, Basis]] = {}
        """By number, in their order; `_windows` are theirs, asked for every batch."""
        self._windows: list[Window[Any]] = []
        self._bound: Bindings = {}
        """The attributes of the Sequence when the workers were last sent it."""
        self._is_over = False
        """Whether no further one is planned until another begins."""
        self._misses = self._pause = 0
        """How often in a row what was planned did not hold; epochs to pass before the next try."""

    def __bool__(self) -> bool:
        return bool(self._planned)

    @property
    def in_flight(self) -> int:
        """Batches issued ahead. Any thread."""
        return sum(epoch.window.ahead for epoch, _ in list(self._planned.values()))

    def of(self, number: int) -> Epoch | None:
        """The epoch of that number, if it is computed ahead."""
        planned = self._planned.get(number)
        return None if planned is None else planned[0]

    def make(self, plan: Plan, cursor: Cursor, *, is_still: bool) -> Epoch:
        """The epoch that begins now with this plan, here. The workers have just been sent the
        Sequence as it is, which may change at the next turn if it is not `is_still`."""
        epoch = self._make(plan, cursor)
        self._say_unsaid(epoch)
        self._bound = {}  # it would keep alive what was bound before
        if is_still and self._may_follow(epoch):
            epoch.ahead = self
            self._bound = bindings(self._subject.sequence)
        return epoch

    def _make(self, plan: Plan, cursor: Cursor) -> Epoch:
        subject, session = self._subject, self._session
        assert session.executor is not None
        return Epoch(
            plan,
            session.executor,
            subject.options,
            subject.counters,
            limit=session.max_queue_size,
            sequence=subject.sequence,
            start=cursor.position,
            skips=cursor.skipped.get(plan.epoch),
            disagreements=self._disagreements,
            observed=self._observed,
        )

    def _may_follow(self, epoch: Epoch) -> bool:
        """Whether others are computed ahead after this one. Of the first epoch nobody knows whether
        there is another."""
        if self._pause:
            self._pause -= 1
            return False
        return 0 <= self.whole < epoch.number and runs_ahead(self._session.executor)

    def _say_unsaid(self, epoch: Epoch) -> None:
        epoch.warnings.extend(self.unsaid)
        self.unsaid.clear()

    # --- tickets --------------------------------------------------------------------------

    def fill(self, under_way: Epoch) -> None:
        """Issue tickets as far as the window of the epoch under way leaves room (R12)."""
        if self._is_over:
            return
        while under_way.window.leaves_room(self._windows):
            last = next(reversed(self._planned.values()))[0] if self._planned else under_way
            if last.window.next == last.window.end:
                planned = self._plan_after(last)
                if planned is None:
                    self._is_over = True
                    return
                last = planned[0]
                self._planned[last.number] = planned
                self._windows.append(last.window)
            last.issue()

    def _plan_after(self, last: Epoch) -> tuple[Epoch, Basis] | None:
        """The epoch after one, planned as if nothing changed; None: it is to be waited for."""
        subject = self._subject
        if not subject.is_still() or last.sequence is not subject.sequence:
            return None
        here = subject.place
        there = Place(here.cursor.at(last.number + 1), here.seeding)
        try:
            plan, cursor = planned_at(there, last.plan.length, subject.shuffle, subject.options)
        except (ResumeError, ValueError):  # it is said where that epoch begins
            return None
        if not plan.count:
            return None
        return self._make(plan, cursor), self._basis(plan, cursor, self._bound)

    def _basis(self, plan: Plan, cursor: Cursor, bound: Bindings) -> Basis:
        skips = cursor.skipped.get(plan.epoch)
        return Basis(self._subject.sequence, bound, plan, cursor.position, skips)

    def resize(self, limit: int) -> None:
        """So many batches ahead from now on."""
        for epoch, _ in self._planned.values():
            epoch.window.resize(limit)

    # --- the turn of an epoch -------------------------------------------------------------

    def take(self, plan: Plan, cursor: Cursor) -> Epoch | None:
        """The epoch that begins now with this plan, here, if it was planned ahead and what it was
        planned from still holds (R14)."""
        planned = self._planned.get(plan.epoch)
        if planned is None or not self._subject.is_still():
            return None
        now = self._basis(plan, cursor, bindings(self._subject.sequence))
        if not planned[1].holds(now):
            return None
        self._misses = 0
        epoch = self._planned.pop(plan.epoch)[0]
        del self._windows[0]
        self._say_unsaid(epoch)
        epoch.ahead = self  # in any case: answers for those after it come to it
        self._is_over = not runs_ahead(self._session.executor)
        return epoch

    def note_miss(self) -> None:
        """What was planned does not hold (R14)."""
        self._misses += 1
        self._pause = min(2**self._misses, LONGEST_PAUSE)

    def forget(self) -> None:
        """Throw everything away (R15)."""
        for epoch, _ in self._planned.values():
            epoch.discard()
            self.unsaid += epoch.warnings
        self._planned.clear()
        self._windows.clear()
        self._is_over = False

    def close(self) -> None:
        """The executor has stopped."""
        self.forget()
        self._bound = {}
        self.unsaid.clear()
        self._disagreements.forget()
        self.whole = -1

    def check(self, under_way: Epoch | None) -> None:
        """Assert what holds between any two calls that tear nothing."""
        assert self._windows == [epoch.window for epoch, _ in self._planned.values()]
        before = under_way
        for number, (epoch, basis) in self._planned.items():
            epoch.check()
            assert basis.plan is epoch.plan, "planned from another plan"
            assert number == epoch.number, "filed under another number"
            assert not epoch.counts, f"epoch {number} is computed ahead, and {epoch.state}"
            assert epoch.handovers.next_position == basis.start, "something of it was handed over"
            if before is not None:
                assert number == before.number + 1, f"epoch {number} after {before.number}"
                assert before.window.next == before.window.end, "issued out of turn"
            before = epoch
