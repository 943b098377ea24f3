"""Saved, resumed, and brought elsewhere: what a run does beside going on.

Rules, beside those of consumption.py
    R8  A jump (`load_state_dict`, `seek`) cuts the epoch under way: no hook runs for it. What other
        epochs' hooks did to the Sequence is the Sequence's own business.
    R9  A state is judged before anything is changed. To judge it, the Sequence itself is given its
        part; if the state is refused, it gets back what it was. Nothing computes meanwhile, and
        whoever saves sees the Sequence as it was. Only hooks that are run again cannot be taken
        back: what else can be judged is judged before them, and a Sequence on which they broke off
        computes no batch any more.
    R10 A jump, and a skip, is made by one store, of the bookmark. Interrupted before it, the run
        stands where it stood; after it, whoever enters next does what is left to do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader.errors import ResumeError, SeqloaderWarning
from seqloader.order import NOTHING, Plan, Ranges
from seqloader.randomness.context import Seeding
from seqloader.run import messages
from seqloader.run.consumption import Consumption
from seqloader.run.lifecycle import ERROR_STOP_TIMEOUT_S
from seqloader.run.planning import planned
from seqloader.run.resume.bookmarks import Bookmark, carries_state, copied, give_state, take_state
from seqloader.run.resume.fitting import count_at, fit, known_length
from seqloader.run.resume.replay import replay_hooks
from seqloader.run.resume.saved_state import ABSENT, SavedState, refusal
from seqloader.sequence.interface import count_batches, overrides_hook, unsaved_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from seqloader.order import Cursor
    from seqloader.run.delivery import Delivery
    from seqloader.run.options import Options
    from seqloader.run.resume.fitting import Fit

__all__ = ["Resumption"]

Batch = TypeVar("Batch")


class Resumption(Consumption[Batch], Generic[Batch]):
    """A consumption that can be saved, and go on from anywhere."""

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        super().__init__(sequence, shuffle, options)
        self._seed_is_given = options.seeded
        self._loaded: SavedState | None = None
        """Until an epoch has begun from it: its length may be known only then."""
        self._strict = True
        self._intent: tuple[Bookmark, Callable[[], object]] | None = None
        """Where the run is brought, and what follows from it."""
        self._warned_hooks = False
        self._spoiled: Any = None
        """A Sequence on which hooks were run again, and not to the end."""

    def replace_sequence(self, sequence: Any) -> None:
        """Another one is used from the next epoch on. What was saved of the old is not its own."""
        self.sequence = sequence
        self._hooked = self._spoiled = None
        self._marks.forget_states()

    # --- saving ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands. Any thread."""
        sequence = self.sequence
        mark = self._marks.read(sequence)
        plan, at_begin = mark.plan, mark.at_begin
        if not overrides_hook(sequence, "on_epoch_begin") and _alike(at_begin, mark.now):
            at_begin = ABSENT
        length = mark.length if plan is None else plan.length
        return SavedState(
            cursor=mark.cursor.at(mark.cursor.epoch, mark.position, mark.cursor.first),
            seed=mark.seed,
            seeded=mark.seeded,
            shard=self.options.shard,
            length=known_length(sequence) if length is ABSENT else length,
            shuffle=self.shuffle if plan is None else plan.shuffle,
            skipped_by_errors=self._counters.skipped,
            sequence=copied(mark.now),
            sequence_at_begin=copied(at_begin),
        ).write()

    # --- going elsewhere ------------------------------------------------------------------

    def load_state_dict(self, state: Any, strict: bool, replay: bool = False) -> None:
        """Go on where `state` was saved."""
        saved = SavedState.read(state)
        self._check_entry()
        with self._lock:
            self._inside(lambda: self._load(saved, strict, replay))

    def _load(self, saved: SavedState, strict: bool, replay: bool) -> None:
        options, sequence = self.options, self.sequence
        cursor = saved.cursor_on(options.shard, options.remainder)
        here = self._marks.mark
        before = take_state(sequence) if carries_state(sequence) else ABSENT

        def undo() -> None:
            if self._marks.mark.cursor is here.cursor:
                if before is not ABSENT:
                    give_state(sequence, before)
                self._marks.put(here)

        def arrive() -> None:
            if replay:
                self._spoiled = None
            self._arrive(mark, saved, strict)

        if replay:
            self._check_replay(saved)
        try:
            self._marks.freeze(sequence)
            found = self._quietly(lambda: self._try_on(saved, strict, replay), undo)
            mark = self._mark_of(saved, cursor, found, strict)
            self._bring(mark, arrive)
        except BaseException:
            undo()
            raise
        if replay and cursor.epoch and not self.options.seeded:
            messages.issue(SeqloaderWarning(messages.unseeded_replay_warning()))
        self._warn(found, 0 if replay else cursor.epoch)

    def seek(self, epoch: int, position: int) -> None:
        """Go on at this position of this epoch."""
        self._check_entry()
        with self._lock:
            self._inside(lambda: self._seek(epoch, position))

    def _seek(self, epoch: int, position: int) -> None:
        here, mark = self._cursor, self._marks.mark
        cursor = here.at(epoch, position, here.first if epoch == here.epoch else 0)
        self._quietly(lambda: self._count_at(cursor))
        there = Bookmark(cursor, mark.seed, mark.seeded)
        self._bring(there, lambda: self._arrive(there))
        if epoch != here.epoch:
            self._warn_of_hooks(epoch)

    def skip(self, positions: Iterable[Any], epoch: int | None) -> None:
        """Do not deliver these positions of an epoch; None: of the one under way or coming."""
        wanted = Ranges.of(positions)
        self._check_entry()
        with self._lock:
            self._inside(lambda: self._skip(wanted, epoch))

    def _skip(self, wanted: Ranges, epoch: int | None) -> None:
        epoch = self._cursor.epoch if epoch is None else epoch
        self._check_skip(wanted, epoch)
        cursor = self._cursor.skipping(epoch, wanted)
        mark = replace(self._marks.mark, cursor=cursor)
        self._bring(mark, lambda: self._leave_out(cursor))

    def _bring(self, mark: Bookmark, follow: Callable[[], object]) -> None:
        """Stand elsewhere, and do what follows from that. It may be done again, if interrupted."""
        self._torn = True
        self._intent = mark, follow
        self._marks.put(mark)
        follow()
        self._intent = None
        self._torn = False
        if self._stopping:  # by a signal handler, in the middle
            self._give_way()

    def _complete(self) -> None:
        intent = self._intent
        if intent is not None and self._marks.mark is intent[0]:
            intent[1]()
        self._intent = None

    def _forget(self) -> None:
        self._complete()
        super()._forget()

    def _arrive(self, mark: Bookmark, saved: SavedState | None = None, strict: bool = True) -> None:
        """The epoch under way, of which nothing is in work, is none any more."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.handovers.clear()
        self._cursor = mark.cursor
        self._empty_epochs = 0
        self._loaded, self._strict = saved, strict
        if saved is not None:
            self.must_refresh = True
            self._counters.skipped = saved.skipped_by_errors
        self._seeding = Seeding(mark.seed, mark.seeded)
        self.options = replace(self.options, seed=mark.seed, seeded=mark.seeded)
        if self.running and self._started_with != self._seeding:
            run, stream = self._run, self._stream
            self._intent = None  # stopping comes here again
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            self._start()
            self._run, self._stream = run, stream

    def _leave_out(self, cursor: Cursor) -> None:
        self._cursor = cursor
        delivery = self._delivery
        skips = cursor.skipped.get(cursor.epoch)
        if delivery is not None and skips is not None and not self._stopping:
            delivery.skip(skips)

    def _quietly(self, judge: Callable[[], Any], undo: Callable[[], object] | None = None) -> Any:
        """The judgement, while nothing is in work; where it is an error, all goes on as before."""
        delivery = self._delivery
        if delivery is None or self._stopping:
            return judge()
        self._torn = True
        self._settle(delivery)
        try:
            return judge()
        except BaseException:
            if undo is not None:
                undo()
            if self._delivery is delivery:
                delivery.fill()
                self._torn = False
            raise

    # --- what fits ------------------------------------------------------------------------

    def _check_replay(self, saved: SavedState) -> None:
        """Whether hooks can be run again on this Sequence, which must not have seen any."""
        sequence, kind = self.sequence, type(self.sequence).__qualname__
        if saved.sequence is not ABSENT and unsaved_hooks(sequence) is None:
            raise ValueError(
                f"{kind} has state_dict(), and the state holds what its hooks have done: with "
                "replay_hooks=True it would be done twice. Leave it out"
            )
        if sequence is self._hooked or sequence is self._spoiled:
            raise ResumeError(
                f"replay_hooks=True needs a Sequence made anew, and hooks of this {kind} have run "
                "already: make another one, and an enqueuer for it"
            )

    def _replay(self, saved: SavedState) -> None:
        own, options = self._seed_is_given, self.options
        seed, seeded = (options if own else saved).seed, (options if own else saved).seeded
        self._spoiled = self.sequence
        self._hooked = self.sequence
        try:
            replay_hooks(self.sequence, Seeding(seed, seeded), saved.cursor.epoch)
        except BaseException:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise

    def _check_whole(self) -> None:
        if self._spoiled is not None and self._spoiled is self.sequence:
            raise ResumeError(
                "load_state_dict(state, replay_hooks=True) failed, and has left the "
                f"{type(self.sequence).__qualname__} somewhere between two epochs: make another"
            )

    def _start(self) -> None:
        self._check_whole()
        super()._start()

    def _begin_epoch(self) -> Delivery:
        self._check_whole()
        return super()._begin_epoch()

    def _try_on(self, saved: SavedState, strict: bool, replay: bool) -> Fit:
        seed = self.options.seed if self._seed_is_given else None
        if replay:
            differences = saved.differences(seed=seed, shuffle=self.shuffle)
            if differences and strict:
                raise refusal(differences)
            self._replay(saved)
        found = fit(saved, self.sequence, self.shuffle, self.options, seed=seed)
        if found.differences and strict:
            raise refusal(found.differences)
        return found

    def _mark_of(self, saved: SavedState, cursor: Cursor, found: Fit, strict: bool) -> Bookmark:
        own, options = self._seed_is_given, self.options
        return Bookmark(
            cursor,
            options.seed if own else saved.seed,
            options.seeded if own else saved.seeded,
            at_begin=copied(saved.sequence_at_begin) if found.taken else ABSENT,
            length=saved.length if strict else ABSENT,
        )

    def _count_at(self, cursor: Cursor) -> int | None:
        return count_at(cursor, self.sequence, self.shuffle, self.options)

    def _check_skip(self, wanted: Ranges, epoch: int) -> None:
        here, delivery = self._cursor, self._delivery
        if epoch < here.epoch:
            raise ValueError(f"epoch {epoch} is over: epoch {here.epoch} is under way or coming")
        wanted = wanted - here.skipped.get(epoch, NOTHING)
        if not wanted:
            return
        if epoch > here.epoch:
            self._check_later_skip(epoch)
            return
        due, count = here.position, None
        if delivery is None:
            count = self._count_at(here)
        else:
            undelivered = delivery.handovers.undelivered
            due = delivery.handovers.next_position if undelivered is None else undelivered
            count = delivery.plan.count
        first, last = wanted.pairs[0][0], wanted.pairs[-1][1] - 1
        if first < due:
            raise ValueError(
                f"position {first} of epoch {epoch} was delivered already: {due} comes next"
            )
        if count is not None and last >= count:
            raise ValueError(f"epoch {epoch} has no position {last}: it has {count} on this shard")

    def _check_later_skip(self, epoch: int) -> None:
        delivery = self._delivery
        if delivery is not None and delivery.plan.count is not None:
            return
        if count_batches(self.sequence) is None:
            raise ValueError(
                f"epoch {epoch} of an endless Sequence begins where the one before it will be "
                "left, so its positions mean nothing yet: skip them when it comes"
            )

    def _make_plan(self, count: int | None) -> Plan:
        saved = self._loaded
        difference = None if saved is None else saved.length_differs(count)
        if difference is None:
            return super()._make_plan(count)
        if self._strict:
            raise refusal([difference])
        here = self._cursor
        whole = planned(count, here.at(here.epoch, 0, here.first), self.shuffle, self.options)
        if whole.count is not None and here.position > whole.count:
            self._cursor = here.at(here.epoch, whole.count, here.first)
        return super()._make_plan(count)

    def _has_begun(self) -> None:
        self._loaded = None

    # --- what is said ---------------------------------------------------------------------

    def _warn(self, found: Fit, epoch: int) -> None:
        if found.differences:
            messages.issue(SeqloaderWarning(messages.lenient_warning(found.differences)))
        self._warn_of_hooks(epoch)

    def _warn_of_hooks(self, epoch: int) -> None:
        unsaved = unsaved_hooks(self.sequence)
        if epoch and unsaved is not None and not self._warned_hooks:
            self._warned_hooks = True
            messages.issue(SeqloaderWarning(messages.hooks_warning(*unsaved, epoch)))


def _alike(one: Any, other: Any) -> bool:
    """Whether they are equal; False where they cannot say so, such as arrays."""
    try:
        return bool(one == other)
    except Exception:
        return False
