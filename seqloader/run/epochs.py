"""The epochs of a run, one after another: begun and ended, with their hooks.

Actors and the rules of tearing, mending and stopping are in session.py. Further rules:

    R5  An epoch ends once; whoever ends it first takes `epoch` away, then runs the hook.
    R6  An error in a hook, in `len()`, in sending the Sequence, in the epoch's batches or in the
        executor stops everything before it is raised, and no hook runs for that epoch. Of what
        comes out of the executor's `wait`, which tears nothing, its own failures are told from
        what came asynchronously (a signal handler that raises).
    R7  Warnings are issued where an exception can lose nothing: a filter may turn them into errors.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from seqloader.errors import SeqloaderWarning, SlowBatchWarning
from seqloader.executors.diagnostics import diagnostics_of
from seqloader.executors.protocol import takes_turns
from seqloader.run import messages
from seqloader.run.ahead import Ahead
from seqloader.run.epoch import Epoch
from seqloader.run.observed import Observed
from seqloader.run.our_shard import check_same_shard
from seqloader.run.own_stop import OwnStop
from seqloader.run.resume.fit import planned_at
from seqloader.run.states import EpochState
from seqloader.run.telling import Telling
from seqloader.sequence.interface import count_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.run.options import Options
    from seqloader.run.session import Session
    from seqloader.run.subject import Subject

__all__ = ["Epochs"]


class Epochs:
    """Begins and ends the epochs of one subject, in one session."""

    patience_s = 60.0
    """How long the consumer waits for one batch before it says so, once."""

    def __init__(
        self, subject: Subject, session: Session, observed: Observed | None = None
    ) -> None:
        self.epoch: Epoch | None = None
        """The one under way."""
        self.counters = subject.counters
        self.consumer = 0
        """Thread that asked for a batch last."""
        self.stream: object = None
        """Shared by all `get()`s of one stream; None while batches go to a `for`."""
        self.empty_epochs = 0
        """Epochs in a row that held no batch."""
        self.own_stop = OwnStop()
        self._subject = subject
        self._session = session
        self._observed = observed or Observed()
        self._due: Epoch | None = None
        """Not under way any more, and its hook is about to be run by `stop()`."""
        self._warned_turns = False
        self._ahead = Ahead(subject, session, self._observed)
        self.telling = Telling(session, subject.counters, self._ahead)

    @property
    def options(self) -> Options:
        """Those of the subject."""
        return self._subject.options

    @property
    def are_computing(self) -> bool:
        """Whether something of them is issued, or may be."""
        return self.epoch is not None or bool(self._ahead)

    def check(self) -> None:
        """Assert what holds between any two calls that tear nothing."""
        epoch, place = self.epoch, self._subject.place
        self._ahead.check(epoch)
        if epoch is not None:
            epoch.check()
            assert self._session.executor is not None, "an epoch is under way, without an executor"
            assert place.plan is epoch.plan, "the place is of another epoch"
            assert epoch.state in (EpochState.BEGUN, EpochState.SHOWN, EpochState.ASKED), (
                f"the epoch under way is {epoch.state}"
            )
        elif self._due is None:
            assert place.plan is None, "no epoch is under way, and the place is inside of one"

    # --- the beginning --------------------------------------------------------------------

    def begin(self, *, fill: bool = True) -> Epoch:
        """Begin the coming epoch: its hook, its length, its plan, its first tickets if `fill`."""
        subject, session, executor = self._subject, self._session, self._session.executor
        assert executor is not None
        begun_s = monotonic()
        subject.check_whole()
        subject.settle_shard()
        check_same_shard(subject.options, subject.place)
        session.step()
        self._due = None
        store, sequence = subject.store, subject.sequence
        try:
            if self._ahead and not subject.is_still():
                self._throw_ahead_away()  # before a hook that was not there before
            store.beginning(sequence)
            number = subject.number
            has_begin = self._run_hook("on_epoch_begin", sequence, number)
            count = count_batches(subject.sequence)
            subject.settle_order(begins=True)
            if session.stopping:
                raise self.own_stop.while_beginning(number)
            plan, cursor = planned_at(subject.place, count, subject.shuffle, subject.options)
            epoch = self._ahead.take(plan, cursor) if self._ahead else None
            if epoch is None:
                if self._ahead:
                    self._throw_ahead_away()
                in_place = has_begin or subject.may_have_changed()
                self._observed.begins("send the Sequence")
                executor.load(subject.sequence, in_place=in_place)
                self._observed.ends()
                epoch = self._ahead.make(plan, cursor, is_still=not in_place)
            epoch.begins()
            if fill:
                epoch.fill()
            if not self._warned_turns and takes_turns(executor):
                self._warned_turns = True
                epoch.warnings.append(SeqloaderWarning(messages.turns_warning()))
            # After `load`: the workers compute with what the Sequence was when the epoch began.
            changed = store.begun(cursor, epoch.plan, epoch.handovers, subject.sequence)
            subject.must_refresh = changed
            self.epoch = epoch
            size = session.workers, session.max_queue_size
            delivered = self.counters.delivered
            self._observed.epoch_begins(plan, cursor.position, delivered, executor, size)
            now_s = monotonic()
            self.counters.turned_s += now_s - begun_s
            self.counters.begin_epoch(number, now_s, self.telling.worked())
        except BaseException:
            try:
                store.failed(subject.sequence)
            finally:
                session.shut_down()
            raise
        session.done()
        return epoch

    def _throw_ahead_away(self) -> None:
        """What was planned ahead does not hold."""
        self._ahead.note_miss()
        self.stop_computing(None)

    # --- the end --------------------------------------------------------------------------

    def end_under_way(self) -> None:
        """End the epoch under way, if there is one: nothing is computed any more, then the hook."""
        epoch, session, subject = self.epoch, self._session, self._subject
        if epoch is None or session.executor is None:
            return
        if epoch.counts:
            self.telling.ended(epoch)
        begun_s = monotonic()
        session.step()
        try:
            self._note_end(epoch)
            if not self._goes_on(epoch):
                self.stop_computing(epoch)
            has_hook = epoch.has_hook_due
            self.take_away(epoch)  # before the hook: an epoch ends once, also if it raises
            if has_hook and not session.stopping:
                self._run_hook("on_epoch_end", epoch.sequence, epoch.number)
            subject.store.settle()
        except BaseException:
            session.shut_down()
            raise
        session.done()
        self.counters.turned_s += monotonic() - begun_s
        if session.stopping:
            session.give_way()
            if epoch.state is not EpochState.COMPLETE:
                raise self.own_stop.cutting(epoch.number)

    def _goes_on(self, epoch: Epoch) -> bool:
        """Whether what is computed is that of coming epochs, and may be (R15)."""
        if epoch.state is not EpochState.COMPLETE or epoch.window.ahead or self._session.stopping:
            return False
        if not self._ahead or not self._subject.is_still():
            return False
        if epoch.sequence is not self._subject.sequence:  # whose hook may be there by now
            return False
        epoch.fill()  # there is room where its last batch was
        return True

    def end_if_delivered(self) -> None:
        """If the last batch of the epoch under way was handed out, end it."""
        epoch = self.epoch
        if epoch is not None and epoch.counts and epoch.is_delivered:
            epoch.issue_warnings()
            self.end_under_way()

    def end_where_we_stand(self) -> None:
        """End the epoch in which the run stands now, whatever is left of it; one that the run was
        only brought into is begun for that."""
        if not self._is_inside():
            return
        epoch = self.epoch
        if epoch is None:  # its hooks are due, and no batch is
            self._session.be_running()
            epoch = self.begin(fill=False)
        if not epoch.counts:
            epoch.becomes("ask")
        epoch.issue_warnings()
        self.end_under_way()

    def _is_inside(self) -> bool:
        """Whether something of the epoch in which the run stands was delivered, here or before."""
        epoch, place = self.epoch, self._subject.place
        if epoch is not None and epoch.counts:
            return True
        # An epoch that goes on with other shards begins at `first`; every endless one does.
        return place.next.position > 0 or (place.next.first > 0 and isinstance(place.length, int))

    def stop_computing(self, epoch: Epoch | None) -> None:
        """Throw away what was computed of the epoch under way, and of those after it, and wait
        until nothing is being computed."""
        session = self._session
        executor = session.executor
        assert executor is not None
        number = self._subject.number if epoch is None else epoch.number
        if epoch is not None:
            epoch.discard()
        self._ahead.forget()
        self._observed.begins("stop computing")
        if not executor.discard(self.patience_s):
            busy = diagnostics_of(executor).busy()
            options = self.options
            hint = messages.limit_hint(options.executor, session.workers, options.timeout_s)
            text = messages.stuck_warning(number, self.patience_s, busy, hint)
            messages.issue(SlowBatchWarning(text))
            executor.discard()
        self._observed.ends()

    def take_away(self, epoch: Epoch) -> None:
        """It is not under way any more."""
        self.epoch = None
        epoch.becomes("end")
        if epoch.handovers.undelivered is not None:
            self.counters.delivered -= 1
        epoch.handovers.clear()
        self.telling.close()
        self._observed.epoch_ends(epoch.number)

    def _run_hook(self, name: str, sequence: Any, number: int) -> bool:
        try:
            return self._subject.run_hook(name, sequence, number, self._observed.begins)
        finally:
            self._observed.ends()

    def _note_end(self, epoch: Epoch) -> None:
        if not epoch.counts:
            return  # it is as if it had not begun
        first = 0
        if epoch.plan.count is None:
            first = epoch.plan.reached(epoch.handovers.delivered)
        self._subject.store.ended(first)
        if epoch.is_delivered and epoch.state is EpochState.ASKED:
            epoch.becomes("complete")
            self._ahead.whole = epoch.number
            self.empty_epochs = 0 if epoch.served else self.empty_epochs + 1

    # --- what happens to the session ------------------------------------------------------

    def resume(self) -> None:
        """The executor was reset: issue again what was not handed over."""
        epoch = self.epoch
        self._ahead.forget()
        if epoch is not None:
            epoch.restart(self._subject.place.cursor.skipped.get(epoch.number))
            epoch.fill()

    def resized(self) -> None:
        """The executor has another number of workers, and the session another queue."""
        self._ahead.resize(self._session.max_queue_size)
        if self.epoch is not None:
            self.epoch.resize(self._session.max_queue_size)

    def spoil(self) -> None:
        """A step was torn, and is not mended."""
        if self.epoch is not None:
            # Its last batch may have left the window and reached nobody: no silent end for that.
            self.epoch.becomes("fail")

    def forget(self) -> None:
        """The executor has stopped: nothing is under way any more."""
        self._ahead.close()
        self.counters.worked = self.telling.worked()
        epoch = self.epoch
        if epoch is not None:
            self._note_end(epoch)
            epoch.window.arrived.clear()  # whoever keeps the iterator keeps no memory
            self.take_away(epoch)
        self.stream = None
        if self._due is None:
            self._subject.store.settle()

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
                self._subject.store.settle()

        return end
