"""What happens inside the calls of the consumer: the batch due, awaited and handed over.

Rules, beside those of session.py and epochs.py

    R4  A batch is delivered by the last act of `__next__` (see iterators.py); until then it waits
        in the epoch's `handovers`, and whichever thread asks next gets it.
    R11 The StopIteration of an iterator's end is raised where nothing of the user's is called any
        more; one that comes from there is an error (see [an exception is never an end]).
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import (
    ERRORS,
    EnqueuerStopped,
    SeqloaderWarning,
    SlowBatchWarning,
    WorkerStartError,
    as_raisable,
)
from seqloader.executors.diagnostics import diagnostics_of
from seqloader.run import messages
from seqloader.run.board import POSITION, WAITED, WAITS_SINCE
from seqloader.run.states import DONE, STEP, EpochState
from seqloader.tickets import Lost, Raised

if TYPE_CHECKING:
    from seqloader.run.epoch import Epoch
    from seqloader.run.handovers import Handover
    from seqloader.run.parts import Course, EpochClaim, StreamClaim

__all__ = ["Delivery"]

LONG_S: Final = 100e-6
"""A wait of which it is noted what it was for."""
ASKED: Final = EpochState.ASKED
"""A name of its own: what runs for each batch looks at it three times."""


class Delivery:
    """Gives the batches of a run to whoever asks. One consumer at a time."""

    def __init__(self, run: Course) -> None:
        self._run = run  # kept alive by whoever has an iterator: a session does not do it
        self._epochs = run.epochs
        self._session = run.session
        self._telling = run.epochs.telling
        self._warned_skip = False

    # --- loops and streams ----------------------------------------------------------------

    def begin_loop(self) -> tuple[Epoch, int]:
        """Begin an epoch for a `for`, or take over one that `peek` began; it, and which start."""
        return self._session.call(self._begin_loop)

    def _begin_loop(self) -> tuple[Epoch, int]:
        epochs, session = self._epochs, self._session
        session.be_running()
        epoch = epochs.epoch
        if epoch is not None and epoch.state is EpochState.SHOWN:
            epoch.becomes("take over")
        else:
            epochs.end_under_way()
            session.be_running()  # the hook may have stopped us
            epoch = epochs.begin()
        epochs.stream = None
        return epoch, session.starts

    def join_stream(self) -> tuple[object, int]:
        """The stream that all `get()`s share, and which start."""
        return self._session.call(self._join_stream)

    def _join_stream(self) -> tuple[object, int]:
        epochs, session = self._epochs, self._session
        session.be_running()
        if epochs.stream is None:
            if epochs.epoch is not None and epochs.epoch.state is not EpochState.SHOWN:
                epochs.end_under_way()
                session.be_running()
            epochs.stream = object()
        return epochs.stream, session.starts

    # --- batches --------------------------------------------------------------------------

    def peek(self) -> Any:
        """The next batch, shown and not delivered; begins an epoch where none is under way."""
        return self._session.call(self._peek)

    def _peek(self) -> Any:
        asked_s = monotonic()
        epochs = self._epochs
        self._session.be_running()
        before = epochs.epoch
        handover = None if before is None else before.handovers.waiting()
        if handover is None:
            handover = self._find_next(shown=True, stream=True)
            if handover is None:
                raise EnqueuerStopped("stop() was called, in a hook, before there was a batch")
            if epochs.epoch is not before and epochs.epoch is not None:
                epochs.epoch.becomes("show")
        epochs.counters.leave(asked_s, monotonic())
        return handover.batch

    def next_of_epoch(self, iterator: EpochClaim) -> Handover:
        """The next batch for the iterator of a `for`; StopIteration at the epoch's end."""
        asked_s = monotonic()
        session = self._session
        session.check_entry()
        with session.lock:
            try:
                me = session.enter()
                epochs, epoch = self._epochs, iterator.epoch
                if iterator.finished or epochs.epoch is not epoch or session.stopping:
                    self._refuse(iterator)
                    handover = None
                else:
                    epochs.consumer = me
                    if epoch.state is not ASKED:
                        epoch.becomes("ask")
                    handover = epoch.handovers.waiting()
                    if handover is None:
                        handover = self._find_next(shown=False, stream=False)
            except BaseException as error:
                session.leave(error)
                raise
            if handover is None:
                iterator.finished = True
                raise StopIteration
            # As `Counters.leave`, without a call: no epoch begins in here.
            counters = epochs.counters
            counters.left_s = now_s = monotonic()
            counters.inside_s += now_s - asked_s
            if now_s >= self._telling.look_at_s:
                self._look(now_s)
            return handover

    def has_next(self, iterator: EpochClaim) -> bool:
        """Whether that iterator has another batch, which is awaited and not delivered. No hook
        runs: an epoch ends when its iterator is asked for more than it has."""
        return self._session.call(lambda: self._has_next(iterator))

    def _has_next(self, iterator: EpochClaim) -> bool:
        epoch = iterator.epoch
        if iterator.finished or self._epochs.epoch is not epoch:
            self._refuse(iterator)
            return False
        if epoch.handovers.waiting() is not None:
            return True
        asked_s, found = monotonic(), None
        while found is None and not epoch.window.finished:
            self._await_due(epoch)
            found = self._hand_over(epoch)
        self._epochs.counters.leave(asked_s, monotonic())
        return found is not None

    def next_is_here(self, iterator: EpochClaim) -> bool:
        """Whether that iterator could give its next batch without waiting. Delivers nothing."""
        return self._session.call(lambda: self._next_is_here(iterator))

    def _next_is_here(self, iterator: EpochClaim) -> bool:
        epoch, session = iterator.epoch, self._session
        if iterator.finished or self._epochs.epoch is not epoch or session.stopping:
            self._refuse(iterator)
            return False
        window = epoch.window
        while epoch.handovers.waiting() is None:
            if window.due not in window.arrived:
                session.step()
                epoch.receive()
                session.done()
            answer = window.arrived.get(window.due)
            if answer is None or isinstance(answer, (Raised, Lost)):
                return False
            self._hand_over(epoch)
        return True

    def _refuse(self, iterator: EpochClaim) -> None:
        """Say why an iterator whose epoch is not under way gives no batch, unless it is over."""
        session, epoch = self._session, iterator.epoch
        if session.stopping:
            session.give_way()
        if iterator.finished or epoch.state is EpochState.COMPLETE:
            return
        if iterator.start == session.starts and session.is_running:
            raise RuntimeError(
                f"this iterator of epoch {epoch.number} is stale: a later iter(), get() or `for` "
                "has begun another epoch, or seek() or load_state_dict() has gone elsewhere, and "
                "there is one iterator at a time"
            )
        raise EnqueuerStopped(
            f"the enqueuer was stopped, by stop() or by an error, before epoch {epoch.number} was "
            "delivered completely"
        )

    def next_of_stream(self, iterator: StreamClaim) -> Handover:
        """The next batch for a `get()`; StopIteration once the enqueuer is stopped."""
        asked_s = monotonic()
        epochs, session = self._epochs, self._session
        session.check_entry()
        with session.lock:
            handover = None
            try:
                me = session.enter()
                if session.stopping:
                    session.give_way()
                if session.is_running and iterator.start == session.starts:
                    self._check_stream(iterator)
                    epochs.consumer = me
                    handover = self._find_in_stream()
            except BaseException as error:
                own = epochs.own_stop.is_ours(error)
                session.leave(error)
                if not own:
                    raise
            if handover is None:
                raise StopIteration
            now_s = monotonic()
            epochs.counters.leave(asked_s, now_s)
            if now_s >= self._telling.look_at_s:
                self._look(now_s)
            return handover

    def _look(self, now_s: float) -> None:
        # An interrupt in here loses nothing: the batch waits in its handover (R4).
        self._telling.look(now_s, self._epochs.epoch)

    def _check_stream(self, iterator: StreamClaim) -> None:
        if iterator.stream is not self._epochs.stream:
            raise RuntimeError(
                "this get() is stale: a later iter() or `for` has begun another epoch, and "
                "there is one stream of batches at a time"
            )

    def _find_in_stream(self) -> Handover | None:
        """The next batch, found now, or found before and never delivered; None: it is over."""
        epoch = self._epochs.epoch
        handover = None if epoch is None else epoch.handovers.waiting()
        if epoch is None or handover is None:
            return self._find_next(shown=False, stream=True)
        if epoch.state is not ASKED:
            epoch.becomes("ask")
        return handover

    def _find_next(self, *, shown: bool, stream: bool) -> Handover | None:
        """Wait for the next batch and take it out of the window; None: it is over.

        `shown`: nobody is given it yet, so that its epoch may still count as not begun.
        """
        epochs = self._epochs
        while True:
            epoch = epochs.epoch
            if epoch is None:
                epoch = epochs.begin()
            over = epoch.window.due == epoch.window.end  # `finished`, without a call
            if (over or not shown) and epoch.state is not ASKED:
                epoch.becomes("ask")
            if over:
                epoch.issue_warnings()
                epochs.end_under_way()
                if not stream or self._session.executor is None:
                    return None
                self._check_not_empty(epoch)
                continue
            self._await_due(epoch)
            handover = self._hand_over(epoch)
            if handover is not None:
                return handover

    def _check_not_empty(self, epoch: Epoch) -> None:
        none = epoch.plan.count == 0 and not epoch.plan.first  # the rest of one may be empty
        if none or self._epochs.empty_epochs >= 2:
            why = messages.nothing_text(epoch.plan.length, self._epochs.options.shard.count)
            if not none:
                why = "every batch was None or skipped"
            self._session.shut_down()
            raise ValueError(
                f"get() found nothing in epoch {epoch.number}: {why}, so it would never return"
            )

    def _await_due(self, epoch: Epoch) -> None:
        epochs, session, window = self._epochs, self._session, epoch.window
        executor = session.executor
        assert executor is not None
        if (tuner := session.size.tuner) is not None:
            tuner.asked(session, epoch)
        waited_s = 0.0
        warned = False
        if epoch.warnings and not session.stopping:
            epoch.issue_warnings()
        while True:
            if session.stopping:  # looked at before deaths are judged: stop() may have killed
                session.give_way()
                raise epochs.own_stop.cutting(epoch.number)
            session.state = STEP[session.state]
            if not window.wanted:
                window.wanted = True
                epoch.fill()
            if window.due in window.arrived and not executor.alarmed():
                session.state = DONE[session.state]
                return
            epoch.receive()
            session.state = DONE[session.state]
            if epoch.warnings:
                epoch.issue_warnings()
            if window.due in window.arrived:
                if waited_s:
                    epochs.counters.waits += 1
                return
            if waited_s >= epochs.patience_s and not warned:
                warned = True
                self._warn_slow(epoch, waited_s)
            observed = epoch.observed
            trace = observed.trace
            if trace is not None:
                trace.waits(epoch.number, window.due, epoch.plan.index(window.due))
            begun = monotonic()
            if (seconds := observed.waits) is not None:
                seconds[WAITS_SINCE] = begun
            try:
                executor.wait(None if warned else epochs.patience_s - waited_s)
            except ERRORS as error:
                if self._has_failed(error):
                    session.shut_down()
                raise
            finally:
                step_s = monotonic() - begun
                epochs.counters.waited_s += step_s
                if (seconds := observed.waits) is not None:  # an error may have taken them down
                    seconds[WAITED] = epochs.counters.waited_s
                    seconds[WAITS_SINCE] = 0.0
                if trace is not None:
                    trace.ends()
                if step_s > LONG_S:  # the wait itself has moved nothing
                    epochs.counters.note_wait(step_s, epoch.idle_workers(session.workers))
            waited_s += step_s

    def _warn_slow(self, epoch: Epoch, waited_s: float) -> None:
        ticket, options, workers = epoch.due_ticket(), self._epochs.options, self._session.workers
        known = diagnostics_of(self._session.executor)
        where = messages.whereabouts(known.holder(ticket), known.busy(), workers)
        hint = messages.limit_hint(options.executor, workers, options.timeout_s)
        messages.issue(SlowBatchWarning(messages.slow_warning(ticket, waited_s, where, hint)))

    def _has_failed(self, error: BaseException) -> bool:
        """Whether this came out of `wait` because the executor cannot go on."""
        return isinstance(error, WorkerStartError) or not isinstance(
            self._epochs.options.executor, str
        )

    def _hand_over(self, epoch: Epoch) -> Handover | None:
        """Take the batch due out of the window; None where it is left out."""
        session, window, counters = self._session, epoch.window, self._epochs.counters
        session.state = STEP[session.state]
        position = window.due
        answer = window.hand_over()
        epoch.observed.words[POSITION] = window.due
        batch: Any = answer
        if not isinstance(answer, tuple):  # else it was raised or lost
            batch = epoch.open(answer)
            counters.nbytes += answer.nbytes
            if batch is not None and type(batch) is not Raised:
                handover = epoch.handovers.add(batch, position)
                counters.delivered += 1
                session.state = DONE[session.state]
                return handover
        if batch is not None:
            left_out: list[Raised | Lost] = [batch]
            del answer, batch  # an exception must not be held by the frames it goes through
            self._left_out(epoch, left_out)
        epoch.handovers.skip(position)
        session.state = DONE[session.state]
        return None

    def _left_out(self, epoch: Epoch, left_out: list[Raised | Lost]) -> None:
        """Raise the error in place of its batch; with on_error="skip" count and warn once."""
        answer = left_out.pop()
        error = as_raisable(epoch.error_of(answer))
        if self._epochs.options.on_error == "skip" and isinstance(error, Exception):
            if epoch.skips_once(answer.ticket.position):
                self._epochs.counters.skipped += 1
            if not self._warned_skip:
                self._warned_skip = True
                epoch.warnings.append(SeqloaderWarning(messages.skip_warning(answer, error)))
            return
        epoch.becomes("fail")
        del answer
        self._session.shut_down()
        try:
            raise error
        finally:
            del error
