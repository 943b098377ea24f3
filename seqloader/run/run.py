"""A run: where we are, one epoch after another, begun and ended, and their hooks.

Actors and the rules of tearing, mending and stopping are in session.py. Further rules:

    R5  An epoch ends once; whoever ends it first takes `epoch` away, then runs the hook.
    R6  An error in a hook, in `len()`, in sending the Sequence, in the epoch's batches or in the
        executor stops everything before it is raised, and no hook runs for that epoch. Of what
        comes out of the executor's `wait`, which tears nothing, its own failures are told from
        what came asynchronously (a signal handler that raises).
    R7  Warnings are issued where an exception can lose nothing: a filter may turn them into errors.
    R8  A jump cuts the epoch under way: no hook runs for it. It is made by one store, of the place.
        Interrupted before it, the run stands where it stood; after it, whoever enters next does
        what is left to do (`complete`), which may be done twice.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from seqloader.errors import (
    ENDINGS,
    EnqueuerStopped,
    ResumeError,
    SeqloaderWarning,
    SlowBatchWarning,
    as_raisable,
)
from seqloader.executors.computing import Computing
from seqloader.executors.diagnostics import diagnostics_of
from seqloader.executors.protocol import SharesGenerators, turn_of
from seqloader.order import Cursor
from seqloader.randomness.drawn_orders import draw_orders
from seqloader.randomness.drawn_values import Disagreements
from seqloader.randomness.seeding import Seeding
from seqloader.run import messages
from seqloader.run.epoch import Epoch
from seqloader.run.our_shard import check_same_shard, options_now, settled
from seqloader.run.resume.fit import planned_at
from seqloader.run.resume.place import Place, PlaceStore
from seqloader.run.session import Session
from seqloader.run.states import EpochState
from seqloader.sequence.interface import count_batches, overrides_hook, run_hook
from seqloader.stats import Counters, Stats
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from seqloader.run.options import Options

__all__ = ["Run"]


class Run:
    """One Sequence, epoch after epoch, in one session."""

    patience_s = 60.0
    """How long the consumer waits for one batch before it says so, once."""

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        self.sequence = sequence
        self.shuffle = shuffle
        self.options = options
        self.session = Session(self, options)
        self.store = PlaceStore(Place(Cursor(), Seeding(options.seed, options.seeded)))
        self.epoch: Epoch | None = None
        """The one under way."""
        self.must_refresh = False
        """Whether the Sequence was changed, and workers must be sent it."""
        self.counters = Counters()
        self.consumer = 0
        """Thread that asked for a batch last."""
        self.stream: object = None
        """Shared by all `get()`s of one stream; None while batches go to a `for`."""
        self.empty_epochs = 0
        """Epochs in a row that held no batch."""
        self.hooked: Any = None
        """The Sequence whose hooks have run."""
        self.broken: Any = None
        """A Sequence on which hooks were run again, and not to the end."""
        self._due: Epoch | None = None
        """Not under way any more, and its hook is about to be run by `stop()`."""
        self._cut_short: EnqueuerStopped | None = None
        """What our own `stop()` has just raised in the consumer."""
        self._intent: tuple[Place, Callable[[], object]] | None = None
        """Where the run is brought, and what follows from it."""
        self._warned_turns = False
        self._disagreements = Disagreements()

    @property
    def place(self) -> Place:
        """Where the run stands."""
        return self.store.place

    @property
    def seeding(self) -> Seeding:
        """What order and random numbers come from."""
        return self.store.place.seeding

    @property
    def number(self) -> int:
        """Number of the epoch under way; between epochs, of the coming one."""
        return self.store.place.next.epoch

    def check(self) -> None:
        """Assert what holds between any two calls."""
        session, epoch, place = self.session, self.epoch, self.place
        session.check()
        self.store.check()
        if session.is_torn:
            return
        if epoch is not None:
            epoch.check()
            assert session.executor is not None, "an epoch is under way, and no executor runs"
            assert place.plan is epoch.plan, "the place is of another epoch"
            assert epoch.state in (EpochState.BEGUN, EpochState.SHOWN, EpochState.ASKED), (
                f"the epoch under way is {epoch.state}"
            )
        elif self._due is None:
            assert place.plan is None, "no epoch is under way, and the place is inside of one"

    def replace_sequence(self, sequence: Any) -> None:
        """Another one is used from the next epoch on. What was saved of the old is not its own."""
        self.sequence = sequence
        self.hooked = self.broken = None
        self.store.forget_states()

    def stats(self) -> Stats:
        """A snapshot. Takes no lock: any thread, any time."""
        epoch, executor = self.epoch, self.session.executor
        return self.counters.snapshot(
            in_flight=0 if epoch is None else epoch.window.ahead,
            held_bytes=diagnostics_of(executor).held_bytes(),
        )

    def compute(self, index: int, epoch: int) -> Any:
        """One batch, computed here as a worker would."""
        seeding = self.seeding
        # Threads may be computing with the generators that are set for this batch.
        turn = turn_of(self.session.executor)
        try:
            with turn:
                self._settle_order()
                computing = Computing(
                    self.sequence, seeding, seeded=seeding.reseed_globals, worker=False
                )
                return computing.compute(Ticket(epoch, 0, index))
        except ENDINGS as error:
            raise as_raisable(error) from error

    def _settle_order(self, *, begins: bool = False) -> None:
        """Have orders drawn that each worker would else draw for itself."""
        draw_orders(self.sequence, self.seeding, self.number, begins=begins)

    # --- what the session asks for --------------------------------------------------------

    def prepare(self) -> None:
        """An executor is about to be started."""
        self._check_whole()
        self._settle_order()  # the first state is taken here, and a fork inherits it

    def complete(self) -> None:
        """A step was torn: do what is left of a jump, if it is made."""
        intent = self._intent
        if intent is not None and self.place is intent[0]:
            intent[1]()
        self._intent = None

    def resume(self) -> None:
        """The executor was reset: issue again what was not handed over."""
        epoch = self.epoch
        if epoch is not None:
            epoch.restart(self.place.cursor.skipped.get(epoch.number))
            epoch.fill()

    def resized(self) -> None:
        """The executor has another number of workers, and the session another queue."""
        if self.epoch is not None:
            self.epoch.resize(self.session.max_queue_size)

    def spoil(self) -> None:
        """A step was torn, and is not mended."""
        if self.epoch is not None:
            # Its last batch may have left the window and reached nobody: no silent end for that.
            self.epoch.becomes("fail")

    def forget(self) -> None:
        """The executor has stopped: nothing is under way any more."""
        self.complete()
        epoch = self.epoch
        if epoch is not None:
            self._note_end(epoch)
            epoch.window.arrived.clear()  # whoever keeps the iterator keeps no memory
            self._take_away(epoch)
        self.stream = None
        self._disagreements.forget()
        if self._due is None:
            self.store.settle()

    def ending(self) -> Callable[[], object] | None:
        """The hook of the epoch under way, if the consumer's own `stop()` ends it."""
        epoch = self.epoch
        if epoch is None or self.consumer != threading.get_ident() or not epoch.has_hook_due:
            return None
        self._due = epoch

        def end() -> None:
            try:
                self._run_hook("on_epoch_end", epoch.sequence, epoch.number)
            finally:
                self._due = None
                self.store.settle()

        return end

    # --- one epoch ------------------------------------------------------------------------

    def begin_epoch(self, *, fill: bool = True) -> Epoch:
        """Begin the coming epoch: its hook, its length, its plan, its first tickets if `fill`."""
        session, executor = self.session, self.session.executor
        assert executor is not None
        self._check_whole()
        self.settle_shard()
        check_same_shard(self.options, self.place)
        session.step()
        self._due = None
        try:
            self.store.beginning(self.sequence)
            number = self.number
            self._run_hook("on_epoch_begin", self.sequence, number)
            count = count_batches(self.sequence)
            self._settle_order(begins=True)
            if session.stopping:
                raise self._stopped(f"stop() was called while epoch {number} began")
            plan, cursor = planned_at(self.place, count, self.shuffle, self.options)
            executor.load(self.sequence, in_place=self._may_have_changed())
            epoch = Epoch(
                plan,
                executor,
                self.options,
                self.counters,
                limit=session.max_queue_size,
                sequence=self.sequence,
                start=cursor.position,
                skips=cursor.skipped.get(number),
                disagreements=self._disagreements,
            )
            if fill:
                epoch.fill()
            in_turn = isinstance(executor, SharesGenerators) and executor.takes_turns()
            if in_turn and not self._warned_turns:
                self._warned_turns = True
                epoch.warnings.append(SeqloaderWarning(messages.turns_warning()))
            # After `load`: the workers compute with what the Sequence was when the epoch began.
            self.must_refresh = self.store.begun(cursor, plan, epoch.handovers, self.sequence)
            self.epoch = epoch
        except BaseException:
            try:
                self.store.failed(self.sequence)
            finally:
                session.shut_down()
            raise
        session.done()
        return epoch

    def options_now(self) -> Options:
        """The options; with `shard="auto"` what is found now, if no epoch depends on it."""
        return options_now(self.options, self.place)

    def settle_shard(self) -> None:
        """With `shard="auto"`, keep to what is found now."""
        self.options = settled(self.options, self.place, self.sequence, self.shuffle)

    def _check_whole(self) -> None:
        if self.broken is not None and self.broken is self.sequence:
            raise ResumeError(
                "load_state_dict(state, replay_hooks=True) failed, and has left the "
                f"{type(self.sequence).__qualname__} somewhere between two epochs: make another"
            )

    def _may_have_changed(self) -> bool:
        names = ("on_epoch_begin", "on_epoch_end")
        return self.must_refresh or any(overrides_hook(self.sequence, name) for name in names)

    def _run_hook(self, name: str, sequence: Any, epoch: int) -> None:
        if overrides_hook(sequence, name):
            self.hooked = sequence
            self.store.freeze(self.sequence)
            self.seeding.hook(epoch, lambda: run_hook(sequence, name), name=name)

    def end_epoch(self) -> None:
        """End the epoch under way, if there is one: nothing is computed any more, then the hook."""
        epoch, session = self.epoch, self.session
        if epoch is None or session.executor is None:
            return
        session.step()
        try:
            self._note_end(epoch)
            self._settle(epoch)
            has_hook = epoch.has_hook_due
            self._take_away(epoch)  # before the hook: an epoch ends once, also if it raises
            if has_hook and not session.stopping:
                self._run_hook("on_epoch_end", epoch.sequence, epoch.number)
            self.store.settle()
        except BaseException:
            session.shut_down()
            raise
        session.done()
        if session.stopping:
            session.give_way()
            if epoch.state is not EpochState.COMPLETE:
                self.raise_stopped(epoch)

    def _take_away(self, epoch: Epoch) -> None:
        self.epoch = None
        epoch.becomes("end")
        epoch.handovers.clear()

    def _settle(self, epoch: Epoch) -> None:
        """Throw away what was computed ahead, and wait until nothing is being computed."""
        executor = self.session.executor
        assert executor is not None
        epoch.discard()
        if not executor.discard(self.patience_s):
            busy = diagnostics_of(executor).busy()
            workers, options = self.session.workers, self.options
            hint = messages.limit_hint(options.executor, workers, options.timeout_s)
            text = messages.stuck_warning(epoch.number, self.patience_s, busy, hint)
            messages.issue(SlowBatchWarning(text))
            executor.discard()

    def _note_end(self, epoch: Epoch) -> None:
        if not epoch.counts:
            return  # it is as if it had not begun
        first = 0
        if epoch.plan.count is None:
            first = epoch.plan.reached(epoch.handovers.delivered)
        self.store.ended(first)
        if epoch.is_delivered and epoch.state is EpochState.ASKED:
            epoch.becomes("complete")
            self.empty_epochs = 0 if epoch.served else self.empty_epochs + 1

    def join_end_of_epoch(self) -> None:
        """If the last batch of the epoch was handed out, end the epoch now, in this thread."""
        self.session.call(self._join_end_of_epoch)

    def _join_end_of_epoch(self) -> None:
        epoch = self.epoch
        if epoch is not None and epoch.counts and epoch.is_delivered:
            self.issue_warnings(epoch)
            self.end_epoch()

    def leave_epoch(self) -> None:
        """End the epoch in which the run stands now, in this thread, whatever is left of it."""
        self.session.call(self._leave_epoch)

    def _leave_epoch(self) -> None:
        if not self._is_inside():
            return
        epoch = self.epoch
        if epoch is None:  # the run was brought here: its hooks are due, and no batch is
            self.session.be_running()
            epoch = self.begin_epoch(fill=False)
        if not epoch.counts:
            epoch.becomes("ask")
        self.issue_warnings(epoch)
        self.end_epoch()

    def _is_inside(self) -> bool:
        """Whether something of the epoch in which the run stands was delivered, here or before."""
        epoch, place = self.epoch, self.place
        if epoch is not None and epoch.counts:
            return True
        # An epoch that goes on with other shards begins at `first`; every endless one does.
        return place.next.position > 0 or (place.next.first > 0 and isinstance(place.length, int))

    # --- going elsewhere ------------------------------------------------------------------

    def quietly(self, judge: Callable[[], Any], undo: Callable[[], object] | None = None) -> Any:
        """The judgement, while nothing is computed; where it is an error, all goes on as before."""
        epoch, session = self.epoch, self.session
        if epoch is None or session.stopping:
            return judge()
        session.step()
        self._settle(epoch)
        try:
            return judge()
        except BaseException:
            if undo is not None:
                undo()
            if self.epoch is epoch:
                epoch.fill()
                session.done()
            raise

    def bring(self, place: Place, then: Callable[[], object] | None = None) -> None:
        """Stand elsewhere: one store, and what follows from it, `then` first."""

        def follow() -> None:
            if then is not None:
                then()
            self._arrive(place)

        self._make(place, follow)

    def skip(self, place: Place) -> None:
        """Stand at the same place, with more to be skipped."""

        def follow() -> None:
            epoch, skips = self.epoch, place.cursor.skipped.get(place.cursor.epoch)
            if epoch is not None and skips is not None and not self.session.stopping:
                epoch.skip(skips)

        self._make(place, follow)

    def _make(self, place: Place, follow: Callable[[], object]) -> None:
        session = self.session
        session.step()
        self._intent = place, follow
        self.store.put(place)
        follow()
        self._intent = None
        session.done()
        if session.stopping:  # by a signal handler, in the middle
            session.give_way()

    def _arrive(self, place: Place) -> None:
        """The epoch under way, of which nothing is being computed, is none any more."""
        session, epoch = self.session, self.epoch
        if epoch is not None:
            self._take_away(epoch)
        self.empty_epochs = 0
        if session.is_running and session.started_with != place.seeding:
            stream = self.stream
            self._intent = None  # stopping comes here again
            session.restart()
            self.stream = stream

    # --- what is said ---------------------------------------------------------------------

    def issue_warnings(self, epoch: Epoch) -> None:
        """Issue what the epoch has to say, where an exception can lose nothing."""
        while epoch.warnings:
            messages.issue(epoch.warnings.popleft())

    def raise_stopped(self, epoch: Epoch) -> NoReturn:
        """Our own `stop()` cut the epoch short."""
        raise self._stopped(
            f"stop() was called before epoch {epoch.number} was delivered completely"
        )

    def _stopped(self, text: str) -> EnqueuerStopped:
        """The error of our own `stop()`: `get()` ends with it. One that user code raises, of
        another enqueuer, is an error like any."""
        self._cut_short = EnqueuerStopped(text)
        return self._cut_short

    def is_own_stop(self, error: BaseException) -> bool:
        """Whether it is our own `stop()` that ended the call. Asked once."""
        own, self._cut_short = error is self._cut_short, None
        return own
