"""Saved, resumed, and brought elsewhere: what a run does beside going on.

Rules, beside those of consumption.py
    R8  A jump (`load_state_dict`, `seek`) cuts the epoch under way: no hook runs for it. What other
        epochs' hooks did to the Sequence is the Sequence's own business.
    R9  A state is judged before anything is changed. To judge it, the Sequence itself is given its
        part; if the state is refused, it gets back what it was. Nothing computes meanwhile.
    R10 A jump is made by one store, of the bookmark. Interrupted before it, the run stands where it
        stood; after it, whoever enters next does what is left to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader import messages
from seqloader.bookmarks import Bookmark, carries_state, give_state, take_state
from seqloader.consumption import Consumption
from seqloader.errors import ResumeError, SeqloaderWarning
from seqloader.lifecycle import ERROR_STOP_TIMEOUT_S
from seqloader.order import Plan, Ranges
from seqloader.planning import planned
from seqloader.randomness import Seeding
from seqloader.saved_state import ABSENT, SavedState, refusal
from seqloader.sequence import count_batches, overrides_hook, unsaved_hooks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seqloader.options import Options
    from seqloader.order import Cursor

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
        self._jump: _Jump | None = None
        """That is being made; done if the bookmark stands where it leads."""
        self._warned_hooks = False

    # --- saving ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands. Any thread."""
        mark = self._marks.read(self.sequence)
        plan, options = mark.plan, self.options
        at_begin = mark.at_begin
        if at_begin is not ABSENT and _alike(at_begin, mark.now):
            at_begin = ABSENT
        return SavedState(
            cursor=mark.cursor.at(mark.cursor.epoch, mark.position, mark.cursor.first),
            seed=options.seed,
            seeded=options.seeded,
            shard=options.shard,
            length=plan.length if plan is not None else self._length(mark),
            shuffle=self.shuffle if plan is None else plan.shuffle,
            skipped_by_errors=self._counters.skipped,
            sequence=mark.now,
            sequence_at_begin=at_begin,
        ).write()

    def _length(self, mark: Bookmark) -> Any:
        """Of the coming epoch, as far as it can be known now."""
        if mark.length is not ABSENT:
            return mark.length
        try:
            return count_batches(self.sequence)
        except Exception:  # it may need what `on_epoch_begin` sets up
            return ABSENT

    # --- going elsewhere ------------------------------------------------------------------

    def load_state_dict(self, state: Any, strict: bool) -> None:
        """Go on where `state` was saved."""
        saved = SavedState.read(state)
        self._check_entry()
        with self._lock:
            self._enter()
            sequence = self.sequence
            before = take_state(sequence) if carries_state(sequence) else ABSENT
            cursor = saved.cursor_on(self.options.shard)
            jump = _Jump(_bookmark(saved, cursor), saved, strict)
            try:
                differences = self._quietly(lambda: self._try_on(saved, before, strict))
                self._go(jump)
            except BaseException:
                if before is not ABSENT and not self._marks.stand_at(jump.mark):
                    give_state(sequence, before)
                raise
            if differences:
                messages.issue(SeqloaderWarning(messages.lenient_warning(differences)))
            self._warn_of_hooks(cursor.epoch)

    def seek(self, epoch: int, position: int) -> None:
        """Go on at this position of this epoch."""
        self._check_entry()
        with self._lock:
            self._enter()
            cursor = self._cursor.at(epoch, position)
            elsewhere = epoch != self._cursor.epoch
            self._quietly(lambda: self._count_at(cursor))
            self._go(_Jump(Bookmark(cursor)))
            if elsewhere:
                self._warn_of_hooks(epoch)

    def _go(self, jump: _Jump) -> None:
        """Leave the epoch under way, of which nothing is in work, and stand elsewhere."""
        self._torn = True
        self._jump = jump
        self._marks.place(jump.mark)
        self._arrive(jump)
        self._torn = False

    def _arrive(self, jump: _Jump) -> None:
        """All that follows from the bookmark's new place. May be done again, if interrupted."""
        if self._delivery is not None:
            self._delivery.handovers.clear()
        self._delivery = None
        self._cursor = jump.mark.cursor
        self._empty_epochs = 0
        self._loaded, self._strict = jump.saved, jump.strict
        if jump.saved is not None:
            self.must_refresh = True
            self._counters.skipped = jump.saved.skipped_by_errors
            self._adopt_seed(jump.saved)
        self._jump = None

    def _resume(self) -> None:
        jump = self._jump
        if jump is not None and self._marks.stand_at(jump.mark):
            self._arrive(jump)
        self._jump = None
        super()._resume()

    def skip(self, positions: Iterable[Any], epoch: int | None) -> None:
        """Do not deliver these positions of an epoch; None: of the one under way or coming."""
        wanted = Ranges.of(positions)
        self._check_entry()
        with self._lock:
            me = self._enter()
            epoch = self._cursor.epoch if epoch is None else epoch
            delivery = self._delivery
            self._check_skip(wanted, epoch, me)
            self._torn = True
            self._cursor = self._cursor.skipping(epoch, wanted)
            if delivery is not None and delivery.epoch == epoch:
                delivery.skip(wanted, me)
            self._marks.skipping(self._cursor)
            self._torn = False

    def _quietly(self, judge: Any) -> Any:
        """The judgement, while nothing is in work; where it is an error, all goes on as before."""
        delivery = self._delivery
        if delivery is None or self._stopping:
            return judge()
        self._torn = True
        self._settle(delivery)
        try:
            return judge()
        except BaseException:
            delivery.fill()
            self._torn = False
            raise

    # --- what fits ------------------------------------------------------------------------

    def _try_on(self, saved: SavedState, before: Any, strict: bool) -> list[str]:
        """Give the Sequence its state, `before` being what it has; returns what differs."""
        seed = self.options.seed if self._seed_is_given else None
        differences = saved.differences(seed=seed, shuffle=self.shuffle)
        differences += self._give(saved, before)
        if not overrides_hook(self.sequence, "on_epoch_begin"):  # which may change the length
            differences += self._length_differs(saved)
        if differences and strict:
            raise refusal(differences)
        return differences

    def _give(self, saved: SavedState, before: Any) -> list[str]:
        name = type(self.sequence).__qualname__
        if before is ABSENT:
            if saved.sequence is ABSENT:
                return []
            return [
                f"sequence: the state holds one of the Sequence, and {name} has no "
                "state_dict() and load_state_dict()"
            ]
        if saved.sequence is ABSENT:
            return [f"sequence: the state holds none of the Sequence, and {name} has state_dict()"]
        at_begin = saved.sequence_at_begin
        try:
            give_state(self.sequence, saved.sequence if at_begin is ABSENT else at_begin)
        except ResumeError as error:
            return [*(error.differences or (str(error),))]
        except Exception as error:
            error.add_note(
                f"raised by {name}.load_state_dict(); the enqueuer stands where it stood"
            )
            raise
        return []

    def _length_differs(self, saved: SavedState) -> list[str]:
        try:
            length = count_batches(self.sequence)
        except Exception:  # it will be raised where the epoch begins
            return []
        difference = saved.length_differs(length)
        if difference is not None:
            return [difference]
        planned(length, saved.cursor_on(self.options.shard), self.shuffle, self.options)
        return []

    def _count_at(self, cursor: Cursor) -> int | None:
        """Positions of that epoch on this shard; None: not known now, or endless. ResumeError where
        the cursor is beyond them."""
        if overrides_hook(self.sequence, "on_epoch_begin"):  # which may change the length
            return None
        try:
            length = count_batches(self.sequence)
        except Exception:  # it will be raised where the epoch begins
            return None
        return planned(length, cursor, self.shuffle, self.options).count

    def _check_skip(self, wanted: Ranges, epoch: int, me: int) -> None:
        here, delivery = self._cursor, self._delivery
        if epoch < here.epoch:
            raise ValueError(f"epoch {epoch} is over: epoch {here.epoch} is under way or coming")
        wanted = wanted - here.skipped.get(epoch, Ranges())
        if epoch > here.epoch or not wanted:
            return
        due, count = here.position, None
        if delivery is None:
            count = self._count_at(here)
        else:
            undelivered = delivery.handovers.undelivered(me)
            due = delivery.handovers.next_position if undelivered is None else undelivered
            count = delivery.plan.count
        first, last = wanted.pairs[0][0], wanted.pairs[-1][1] - 1
        if first < due:
            raise ValueError(
                f"position {first} of epoch {epoch} was delivered already: {due} comes next"
            )
        if count is not None and last >= count:
            raise ValueError(f"epoch {epoch} has no position {last}: it has {count} on this shard")

    def _make_plan(self, count: int | None) -> Plan:
        saved, self._loaded = self._loaded, None
        if saved is None:
            return super()._make_plan(count)
        difference = saved.length_differs(count)
        if difference is None:
            return super()._make_plan(count)
        if self._strict:
            raise refusal([difference])
        whole = planned(count, self._cursor.at(self._cursor.epoch), self.shuffle, self.options)
        if whole.count is not None and self._cursor.position > whole.count:
            self._cursor = self._cursor.at(self._cursor.epoch, whole.count, self._cursor.first)
        return super()._make_plan(count)

    # --- what a state brings along --------------------------------------------------------

    def _adopt_seed(self, saved: SavedState) -> None:
        """Without a seed of one's own, the saved run's; workers know it from their start on."""
        options = self.options
        if self._seed_is_given or (options.seed, options.seeded) == (saved.seed, saved.seeded):
            return
        self.options = replace(options, seed=saved.seed, seeded=saved.seeded)
        self._seeding = Seeding(saved.seed, saved.seeded)
        if self.running:
            run, stream = self._run, self._stream
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            self._start()
            self._run, self._stream = run, stream

    def _warn_of_hooks(self, epoch: int) -> None:
        unsaved = unsaved_hooks(self.sequence)
        if epoch and unsaved is not None and not self._warned_hooks:
            self._warned_hooks = True
            messages.issue(SeqloaderWarning(messages.hooks_warning(*unsaved, epoch)))


@dataclass(frozen=True, slots=True)
class _Jump:
    """Where to, and what was loaded for it."""

    mark: Bookmark
    saved: SavedState | None = None
    strict: bool = True


def _bookmark(saved: SavedState, cursor: Cursor) -> Bookmark:
    """Where a loaded state stands: the Sequence's state is frozen only if it was another at the
    epoch's beginning, which is what the Sequence was given."""
    at_begin = saved.sequence_at_begin
    now = ABSENT if at_begin is ABSENT else saved.sequence
    return Bookmark(cursor, at_begin=at_begin, now=now, length=saved.length)


def _alike(one: Any, other: Any) -> bool:
    """Whether they are equal; False where they cannot say so, such as arrays."""
    try:
        return bool(one == other)
    except Exception:
        return False
