"""What happens inside the calls of the consumer: plan -> tickets -> executor -> window -> consumer.

Rules, beside those of lifecycle.py and epochs.py

    R4  A batch is delivered by the last act of `__next__` (see iterators.py); until then it waits
        in the epoch's `handovers`, and whichever thread asks next gets it.
    R11 The StopIteration of an iterator's end is raised where nothing of the user's is called any
        more; one that comes from there is an error (see [an exception is never an end]).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader.errors import (
    ERRORS,
    EnqueuerStopped,
    SeqloaderWarning,
    SlowBatchWarning,
    WorkerStartError,
    as_raisable,
)
from seqloader.run import epochs, messages
from seqloader.run.delivery import Delivery
from seqloader.run.lifecycle import ERROR_STOP_TIMEOUT_S
from seqloader.tickets import Lost, Raised, Ticket

if TYPE_CHECKING:
    from seqloader.run.handovers import Handover
    from seqloader.run.iterators import EpochIterator, StreamIterator
    from seqloader.run.options import Options

__all__ = ["Consumption"]

Batch = TypeVar("Batch")


class Consumption(epochs.Epochs, Generic[Batch]):
    """One consumer at a time."""

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        super().__init__(sequence, shuffle, options)
        self._warned_skip = False

    # --- loops and streams ----------------------------------------------------------------

    def begin_loop(self) -> tuple[Delivery, int]:
        """Begin an epoch for a `for`, or take over one that `peek` began; it, and the run."""
        self._check_entry()
        with self._lock:
            return self._inside(self._begin_loop)

    def _begin_loop(self) -> tuple[Delivery, int]:
        self._be_running()
        delivery = self._delivery
        if delivery is None or not delivery.peeked:
            self._end_epoch()
            self._be_running()  # the hook may have stopped us
            delivery = self._begin_epoch()
        delivery.peeked = False
        self._stream = None
        return delivery, self._run

    def join_stream(self) -> tuple[object, int]:
        """The stream that all `get()`s share, and the run."""
        self._check_entry()
        with self._lock:
            return self._inside(self._join_stream)

    def _join_stream(self) -> tuple[object, int]:
        self._be_running()
        if self._stream is None:
            if self._delivery is not None and not self._delivery.peeked:
                self._end_epoch()
                self._be_running()
            self._stream = object()
        return self._stream, self._run

    # --- batches --------------------------------------------------------------------------

    def peek(self) -> Any:
        """The next batch, shown and not delivered; begins an epoch where none is under way."""
        self._check_entry()
        with self._lock:
            return self._inside(self._peek)

    def _peek(self) -> Any:
        self._be_running()
        before = self._delivery
        handover = None if before is None else before.handovers.waiting()
        if handover is None:
            handover = self._find_next(shown=True, stream=True)
            if handover is None:
                raise EnqueuerStopped("stop() was called, in a hook, before there was a batch")
            if self._delivery is not before and self._delivery is not None:
                self._delivery.peeked = True
        return handover.batch

    def next_of_epoch(self, iterator: EpochIterator[Batch]) -> Handover:
        self._check_entry()
        with self._lock:
            try:
                me = self._enter()
                delivery = self._delivery
                if iterator.finished or delivery is not iterator.delivery or self._stopping:
                    self._refuse(iterator)
                    handover = None
                else:
                    self._consumer = me
                    iterator.delivery.asked = True
                    handover = self._find_for(stream=False)
            except BaseException as error:
                self._leave(error)
                raise
            if handover is None:
                iterator.finished = True
                raise StopIteration
            return handover

    def _refuse(self, iterator: EpochIterator[Batch]) -> None:
        """Say why an iterator whose epoch is not under way gives no batch, unless it is over."""
        if self._stopping:
            self._give_way()
        if iterator.finished or iterator.delivery.complete:
            return
        epoch = iterator.delivery.epoch
        if iterator.run == self._run and self.running:
            raise RuntimeError(
                f"this iterator of epoch {epoch} is stale: a later iter(), get() or `for` has "
                "begun another epoch, or seek() or load_state_dict() has gone elsewhere, and "
                "there is one iterator at a time"
            )
        raise EnqueuerStopped(
            f"the enqueuer was stopped, by stop() or by an error, before epoch {epoch} was "
            "delivered completely"
        )

    def next_of_stream(self, iterator: StreamIterator[Batch]) -> Handover:
        self._check_entry()
        with self._lock:
            handover = None
            try:
                me = self._enter()
                if self._stopping:
                    self._give_way()
                if not self._stopping and iterator.run == self._run and self._executor is not None:
                    self._check_stream(iterator)
                    self._consumer = me
                    handover = self._find_for(stream=True)
            except BaseException as error:
                own, self._cut_short = error is self._cut_short, None
                self._leave(error)
                if not own:
                    raise
            if handover is None:
                raise StopIteration
            return handover

    def _check_stream(self, iterator: StreamIterator[Batch]) -> None:
        if iterator.stream is not self._stream:
            raise RuntimeError(
                "this get() is stale: a later iter() or `for` has begun another epoch, and "
                "there is one stream of batches at a time"
            )

    def _find_for(self, *, stream: bool) -> Handover | None:
        """The next batch, found now, or found before and never delivered; None: it is over."""
        delivery = self._delivery
        handover = None if delivery is None else delivery.handovers.waiting()
        if handover is None:
            handover = self._find_next(shown=False, stream=stream)
            if handover is None:
                return None
            delivery = self._delivery
        if delivery is not None:
            delivery.asked = True
            delivery.peeked = False
        if not handover.counted:  # it may be found twice: shown, or interrupted
            handover.counted = True
            self._counters.delivered += 1
        return handover

    def _find_next(self, *, shown: bool, stream: bool) -> Handover | None:
        """Wait for the next batch and take it out of the window; None: it is over.

        `shown`: nobody is given it yet, so that its epoch may still count as not begun.
        """
        while True:
            delivery = self._delivery
            if delivery is None:
                delivery = self._begin_epoch()
            if not shown or delivery.window.finished:
                delivery.asked = True
            if delivery.window.finished:
                self._issue_warnings(delivery)
                self._end_epoch()
                if not stream or self._executor is None:
                    return None
                self._check_not_empty(delivery)
                continue
            self._await_due(delivery)
            handover = self._hand_over(delivery)
            if handover is not None:
                return handover

    def _check_not_empty(self, delivery: Delivery) -> None:
        none = delivery.plan.count == 0 and not delivery.plan.first  # the rest of one may be empty
        if none or self._empty_epochs >= 2:
            why = messages.nothing_text(delivery.plan.length, self.options.shard.count)
            if not none:
                why = "every batch was None or skipped"
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise ValueError(
                f"get() found nothing in epoch {delivery.epoch}: {why}, so it would never return"
            )

    def _await_due(self, delivery: Delivery) -> None:
        window, executor = delivery.window, self._executor
        assert executor is not None
        waited_s = 0.0
        warned = False
        self._torn = True
        window.wanted = True
        delivery.fill()
        self._torn = False
        while True:
            if self._stopping:  # looked at before deaths are judged: stop() may have killed
                self._give_way()
                self._raise_stopped(delivery)
            if delivery.warnings:
                self._issue_warnings(delivery)
            self._torn = True
            if window.due in window.arrived and not executor.alarmed():
                self._torn = False
                return
            delivery.receive()
            self._torn = False
            if delivery.warnings:
                self._issue_warnings(delivery)
            if window.due in window.arrived:
                return
            if waited_s >= epochs.PATIENCE_S and not warned:
                warned = True
                self._warn_slow(delivery, waited_s)
            begun = time.monotonic()
            try:
                executor.wait(None if warned else epochs.PATIENCE_S - waited_s)
            except ERRORS as error:
                if self._has_failed(error):
                    self._shut_down(ERROR_STOP_TIMEOUT_S)
                raise
            finally:
                step_s = time.monotonic() - begun
                self._counters.waited_s += step_s
            waited_s += step_s

    def _warn_slow(self, delivery: Delivery, waited_s: float) -> None:
        ticket = delivery.due_ticket()
        where = messages.whereabouts(self._holder(ticket), self._busy())
        messages.issue(SlowBatchWarning(messages.slow_warning(ticket, waited_s, where)))

    def _holder(self, ticket: Ticket) -> tuple[int, int] | None:
        ask = getattr(self._executor, "holder", None)
        found: tuple[int, int] | None = None if ask is None else ask(ticket)
        return found

    def _has_failed(self, error: BaseException) -> bool:
        """Whether this came out of `wait` because the executor cannot go on."""
        return isinstance(error, WorkerStartError) or not isinstance(self.options.executor, str)

    def _hand_over(self, delivery: Delivery) -> Handover | None:
        """Take the batch due out of the window; None where it is left out."""
        self._torn = True
        window, counters = delivery.window, self._counters
        position = window.due
        answer = window.hand_over()
        batch: Any = answer
        if not isinstance(answer, (Raised, Lost)):
            batch = delivery.open(answer)
            counters.nbytes += answer.nbytes
        if isinstance(batch, (Raised, Lost)):
            left_out: list[Raised | Lost] = [batch]
            del answer, batch  # an exception must not be held by the frames it goes through
            self._left_out(delivery, left_out)
        elif batch is not None:
            delivery.served += 1
            handover = delivery.handovers.add(batch, position)
            self._torn = False
            return handover
        delivery.handovers.leave_out(position)
        self._torn = False
        return None

    def _left_out(self, delivery: Delivery, left_out: list[Raised | Lost]) -> None:
        """Raise the error in place of its batch; with on_error="skip" count and warn once."""
        answer = left_out.pop()
        error = as_raisable(delivery.error_of(answer))
        if self.options.on_error == "skip" and isinstance(error, Exception):
            if delivery.skips_once(answer.ticket.position):
                self._counters.skipped += 1
            if not self._warned_skip:
                self._warned_skip = True
                delivery.warnings.append(SeqloaderWarning(messages.skip_warning(answer, error)))
            return
        delivery.failed = True
        del answer
        self._shut_down(ERROR_STOP_TIMEOUT_S)
        try:
            raise error
        finally:
            del error
