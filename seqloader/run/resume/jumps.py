"""Jumps: saving where a run stands, and bringing it elsewhere.

Rules, beside those of epochs.py and relocation.py
    R9  A state is judged before anything is changed. To judge it, the Sequence itself is given its
        part; if the state is refused, it gets back what it was. Nothing computes meanwhile, and
        whoever saves sees the Sequence as it was. Only hooks that are run again cannot be taken
        back: what else can be judged is judged before them, and a Sequence on which they broke off
        computes no batch any more.

What other epochs' hooks did to the Sequence is the Sequence's own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.errors import ResumeError, SeqloaderWarning
from seqloader.order import NOTHING, Ranges
from seqloader.randomness.seeding import Seeding
from seqloader.run import messages
from seqloader.run.resume.fit import count_at, fit, known_length
from seqloader.run.resume.own_state import carries_state, copied, give_state, take_state
from seqloader.run.resume.place import Place
from seqloader.run.resume.replay import replay_hooks
from seqloader.run.resume.saved_state import ABSENT, SavedState, refusal
from seqloader.sequence.interface import count_batches, overrides_hook, unsaved_hooks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seqloader.order import Cursor
    from seqloader.run.parts import Jumpable
    from seqloader.run.resume.fit import Fit

__all__ = ["Jumps"]


class Jumps:
    """What brings a run elsewhere."""

    def __init__(self, run: Jumpable) -> None:
        self._subject = run.subject
        self._session = run.session
        self._epochs = run.epochs
        self._relocation = run.relocation
        self._warned_hooks = False

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands. Any thread."""
        subject, sequence = self._subject, self._subject.sequence
        place = subject.store.read(sequence)
        at_begin, length, cursor = place.at_begin, place.length, place.cursor
        if not overrides_hook(sequence, "on_epoch_begin") and _alike(at_begin, place.now):
            at_begin = ABSENT
        return SavedState(
            cursor=cursor.at(cursor.epoch, place.position, cursor.first),
            seed=place.seeding.seed,
            seeded=place.seeding.reseed_globals,
            shard=subject.options.shard,
            length=known_length(sequence) if length is ABSENT else length,
            shuffle=subject.shuffle if place.plan is None else place.plan.shuffle,
            skipped_by_errors=subject.counters.skipped,
            sequence=copied(place.now),
            sequence_at_begin=copied(at_begin),
        ).write()

    # --- a saved state --------------------------------------------------------------------

    def load_state_dict(self, state: Any, strict: bool, replay: bool = False) -> None:
        """Go on where `state` was saved."""
        saved = SavedState.read(state)
        self._session.call(lambda: self._load(saved, strict, replay))

    def _load(self, saved: SavedState, strict: bool, replay: bool) -> None:
        subject, store = self._subject, self._subject.store
        sequence = subject.sequence
        subject.settle_shard()
        cursor = saved.cursor_on(subject.options.shard, subject.options.remainder)
        here = store.place
        before = take_state(sequence) if carries_state(sequence) else ABSENT

        def undo() -> None:
            if store.place.cursor is here.cursor:
                if before is not ABSENT:
                    give_state(sequence, before)
                store.put(here)

        def arrive() -> None:
            subject.must_refresh = True
            subject.counters.skipped = saved.skipped_by_errors
            if replay:
                subject.broken = None

        if replay:
            self._check_replay(saved)
        try:
            store.freeze(sequence)
            found = self._relocation.quietly(lambda: self._try_on(saved, strict, replay), undo)
            at_begin = copied(saved.sequence_at_begin) if found.taken else ABSENT
            seeding = self._seeding_of(saved)
            place = Place(cursor, seeding, at_begin=at_begin, loaded=saved, strict=strict)
            self._relocation.bring(place, arrive)
        except BaseException:
            undo()
            raise
        if replay and cursor.epoch and not seeding.reseed_globals:
            messages.issue(SeqloaderWarning(messages.unseeded_replay_warning()))
        if found.differences:
            messages.issue(SeqloaderWarning(messages.lenient_warning(found.differences)))
        self._warn_of_hooks(0 if replay else cursor.epoch)

    def _seeding_of(self, saved: SavedState) -> Seeding:
        """A seed of the enqueuer's own comes first."""
        options = self._subject.options
        given = options if options.seeded else saved
        return Seeding(given.seed, given.seeded)

    def _try_on(self, saved: SavedState, strict: bool, replay: bool) -> Fit:
        subject, options = self._subject, self._subject.options
        seed = options.seed if options.seeded else None
        if replay:
            differences = saved.differences(seed=seed, shuffle=subject.shuffle)
            if differences and strict:
                raise refusal(differences)
            self._replay(saved)
        found = fit(saved, subject.sequence, subject.shuffle, options, seed=seed)
        if found.differences and strict:
            raise refusal(found.differences)
        return found

    def _check_replay(self, saved: SavedState) -> None:
        """Whether hooks can be run again on this Sequence, which must not have seen any."""
        subject, sequence = self._subject, self._subject.sequence
        kind = type(sequence).__qualname__
        if saved.sequence is not ABSENT and unsaved_hooks(sequence) is None:
            raise ValueError(
                f"{kind} has state_dict(), and the state holds what its hooks have done: with "
                "replay_hooks=True it would be done twice. Leave it out"
            )
        if sequence is subject.hooked or sequence is subject.broken:
            raise ResumeError(
                f"replay_hooks=True needs a Sequence made anew, and hooks of this {kind} have run "
                "already: make another one, and an enqueuer for it"
            )

    def _replay(self, saved: SavedState) -> None:
        subject = self._subject
        subject.broken = subject.hooked = subject.sequence
        try:
            replay_hooks(subject.sequence, self._seeding_of(saved), saved.cursor.epoch)
        except BaseException:
            self._session.shut_down()
            raise

    # --- a place by its numbers -----------------------------------------------------------

    def seek(self, epoch: int, position: int) -> None:
        """Go on at this position of this epoch."""
        self._session.call(lambda: self._seek(epoch, position))

    def _seek(self, epoch: int, position: int) -> None:
        subject, place = self._subject, self._subject.place
        subject.settle_shard()
        here = place.next
        cursor = here.at(epoch, position, here.first if epoch == here.epoch else 0)
        self._relocation.quietly(lambda: self._count_at(cursor))
        self._relocation.bring(Place(cursor, place.seeding))
        if epoch != here.epoch:
            self._warn_of_hooks(epoch)

    def _count_at(self, cursor: Cursor) -> int | None:
        subject = self._subject
        seed = subject.place.seeding.seed
        return count_at(cursor, seed, subject.sequence, subject.shuffle, subject.options)

    # --- what is left out -----------------------------------------------------------------

    def skip(self, positions: Iterable[Any], epoch: int | None) -> None:
        """Do not deliver these positions of an epoch; None: of the one under way or coming."""
        wanted = Ranges.of(positions)
        self._session.call(lambda: self._skip(wanted, epoch))

    def _skip(self, wanted: Ranges, epoch: int | None) -> None:
        self._subject.settle_shard()
        place = self._subject.place
        number = place.next.epoch if epoch is None else epoch
        self._check_skip(wanted, number)
        self._relocation.skip(place.skipping(number, wanted))

    def _check_skip(self, wanted: Ranges, number: int) -> None:
        here, epoch = self._subject.place.next, self._epochs.epoch
        if number < here.epoch:
            raise ValueError(f"epoch {number} is over: epoch {here.epoch} is under way or coming")
        wanted = wanted - here.skipped.get(number, NOTHING)
        if not wanted:
            return
        if number > here.epoch:
            self._check_later_skip(number)
            return
        if epoch is None:
            due, count = here.position, self._count_at(here)
        else:
            undelivered = epoch.handovers.undelivered
            due = epoch.handovers.next_position if undelivered is None else undelivered
            count = epoch.plan.count
        first, last = wanted.pairs[0][0], wanted.pairs[-1][1] - 1
        if first < due:
            raise ValueError(
                f"position {first} of epoch {number} was delivered already: {due} comes next"
            )
        if count is not None and last >= count:
            raise ValueError(f"epoch {number} has no position {last}: it has {count} on this shard")

    def _check_later_skip(self, number: int) -> None:
        epoch = self._epochs.epoch
        if epoch is not None and epoch.plan.count is not None:
            return
        if count_batches(self._subject.sequence) is None:
            raise ValueError(
                f"epoch {number} of an endless Sequence begins where the one before it will be "
                "left, so its positions mean nothing yet: skip them when it comes"
            )

    def _warn_of_hooks(self, epoch: int) -> None:
        unsaved = unsaved_hooks(self._subject.sequence)
        if epoch and unsaved is not None and not self._warned_hooks:
            self._warned_hooks = True
            messages.issue(SeqloaderWarning(messages.hooks_warning(*unsaved, epoch)))


def _alike(one: Any, other: Any) -> bool:
    """Whether they are equal; False where they cannot say so, such as arrays."""
    try:
        return bool(one == other)
    except Exception:
        return False
