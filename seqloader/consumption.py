"""What happens inside the calls of the consumer: plan -> tickets -> executor -> window -> consumer.

Actors and the rules of tearing, mending and stopping are in lifecycle.py. Further rules:

    R4  A batch is delivered by the last act of `__next__` (see iterators.py); until then it waits
        in the epoch's `handovers`, and the same thread gets it again.
    R5  An epoch ends once; whoever ends it first takes `_delivery` away, then runs the hook.
    R6  An error in a hook, in `len()`, in sending the Sequence or in the epoch's batches stops
        everything before it is raised.
    R7  Warnings are issued where an exception can lose nothing: a filter may turn them into errors.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader import messages
from seqloader.bookmarks import Bookmark, Bookmarks
from seqloader.delivery import Delivery
from seqloader.errors import (
    EnqueuerStopped,
    SeqloaderWarning,
    SlowBatchWarning,
    WorkerStartError,
    as_raisable,
)
from seqloader.lifecycle import ERROR_STOP_TIMEOUT_S, Lifecycle
from seqloader.order import Cursor
from seqloader.planning import planned
from seqloader.sequence import count_batches, overrides_hook, run_hook
from seqloader.stats import Counters, Stats
from seqloader.tickets import Lost, Raised, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from seqloader.handovers import Handover
    from seqloader.iterators import EpochIterator, StreamIterator
    from seqloader.options import Options
    from seqloader.order import Plan

__all__ = ["PATIENCE_S", "Consumption"]

Batch = TypeVar("Batch")

PATIENCE_S = 60.0
"""How long the consumer waits for one batch before it says so, once."""


class Consumption(Lifecycle, Generic[Batch]):
    """One epoch at a time, one consumer at a time."""

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        super().__init__(sequence, options)
        self.shuffle = shuffle
        self.must_refresh = False
        self._counters = Counters()
        self._consumer = 0
        """Thread that asked for a batch last."""
        self._cursor = Cursor()
        """Where the epoch under way began; between epochs, where the coming one will."""
        self._delivery: Delivery | None = None
        self._marks = Bookmarks(Bookmark(self._cursor, options.seed, options.seeded))
        self._stream: object = None
        """Shared by all `get()`s of one stream; None while batches go to a `for`."""
        self._empty_epochs = 0
        """Epochs in a row that held no batch."""
        self._warned_skip = False
        self._end_is_due = False
        """Whether `stop()` is about to run the hook of an epoch that is not under way any more."""

    @property
    def epoch(self) -> int:
        """Number of the epoch under way; between epochs, of the coming one."""
        return self._cursor.epoch

    def stats(self) -> Stats:
        """A snapshot. Takes no lock: any thread, any time."""
        delivery, executor = self._delivery, self._executor
        window = None if delivery is None else delivery.window
        return self._counters.snapshot(
            in_flight=0 if window is None else window.ahead,
            held_bytes=getattr(executor, "held_bytes", 0),
        )

    def compute(self, index: int, epoch: int) -> Any:
        """One batch, computed here as a worker would."""
        return self._seeding.compute_aside(self.sequence, Ticket(epoch, 0, index))

    # --- what the life cycle asks for -----------------------------------------------------

    def _forget(self) -> None:
        delivery = self._delivery
        if delivery is not None:
            self._note_end(delivery)
            delivery.window.arrived.clear()  # whoever keeps the iterator keeps no memory
            delivery.handovers.clear()
        self._delivery = None
        self._stream = None
        if not self._end_is_due:
            self._marks.between_epochs(self._cursor)

    def _resume(self) -> None:
        delivery = self._delivery
        if delivery is not None:
            delivery.restart(self._cursor.skipped.get(delivery.epoch))
            delivery.fill()

    def _due_end(self) -> Callable[[], object]:
        delivery = self._delivery
        own = self._consumer == threading.get_ident()
        if delivery is None or not own or not delivery.asked or delivery.failed:
            return super()._due_end()
        self._end_is_due = True

        def end() -> None:
            try:
                self._run_hook("on_epoch_end", delivery.sequence, delivery.epoch)
            finally:
                self._end_is_due = False
                self._marks.between_epochs(self._cursor)

        return end

    # --- epochs ---------------------------------------------------------------------------

    def begin_loop(self) -> tuple[Delivery, int]:
        """Begin an epoch for a `for`, or take over one that `peek` began; it, and the run."""
        self._check_entry()
        with self._lock:
            self._enter()
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
            self._enter()
            self._be_running()
            if self._stream is None:
                if self._delivery is not None and not self._delivery.peeked:
                    self._end_epoch()
                    self._be_running()
                self._stream = object()
            return self._stream, self._run

    def _begin_epoch(self) -> Delivery:
        executor = self._executor
        assert executor is not None
        marks, epoch = self._marks, self._cursor.epoch
        self._torn = True
        self._end_is_due = False
        try:
            marks.beginning(self.sequence)
            self._run_hook("on_epoch_begin", self.sequence, epoch)
            count = count_batches(self.sequence)
            if self._stopping:
                raise EnqueuerStopped(f"stop() was called while epoch {epoch} began")
            plan = self._make_plan(count)
            cursor = self._cursor
            executor.load(self.sequence, in_place=self._may_have_changed())
            delivery = Delivery(
                plan,
                executor,
                self.options,
                self._counters,
                limit=self.max_queue_size,
                sequence=self.sequence,
                start=cursor.position,
                skips=cursor.skipped.get(epoch),
            )
            delivery.fill()
            # After `load`: the workers compute with what the Sequence was when the epoch began.
            self.must_refresh = marks.begun(cursor, delivery, self.sequence)
            self._delivery = delivery
            self._has_begun()
        except BaseException:
            try:
                marks.failed(self.sequence)
            finally:
                self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False
        return delivery

    def _has_begun(self) -> None:
        """An epoch has begun where `_cursor` stood."""

    def _make_plan(self, count: int | None) -> Plan:
        """The plan of the epoch that `_cursor` stands in, for a Sequence of that many batches."""
        return planned(count, self._cursor, self.shuffle, self.options)

    def _may_have_changed(self) -> bool:
        names = ("on_epoch_begin", "on_epoch_end")
        return self.must_refresh or any(overrides_hook(self.sequence, name) for name in names)

    def _run_hook(self, name: str, sequence: Any, epoch: int) -> None:
        if overrides_hook(sequence, name):
            self._marks.freeze(self.sequence)
            self._seeding.hook(epoch, lambda: run_hook(sequence, name), name=name)

    def _end_epoch(self) -> None:
        """End the epoch under way, if there is one: nothing in work, then the hook."""
        delivery, executor = self._delivery, self._executor
        if delivery is None or executor is None:
            return
        self._torn = True
        try:
            self._note_end(delivery)
            self._settle(delivery)
            self._delivery = None  # before the hook: an epoch ends once, also if it raises
            delivery.handovers.clear()
            if delivery.asked and not self._stopping:
                self._run_hook("on_epoch_end", delivery.sequence, delivery.epoch)
            self._marks.between_epochs(self._cursor)
        except BaseException:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False
        if self._stopping:
            self._give_way()
            if not delivery.complete:
                self._raise_stopped(delivery)

    def _settle(self, delivery: Delivery) -> None:
        """Drop what was computed ahead, and wait until nothing is in work."""
        executor = self._executor
        assert executor is not None
        delivery.drop()
        if not executor.discard(PATIENCE_S):
            text = messages.stuck_warning(delivery.epoch, PATIENCE_S, self._busy())
            messages.issue(SlowBatchWarning(text))
            executor.discard()

    def _note_end(self, delivery: Delivery) -> None:
        if not delivery.asked:
            return  # it is as if it had not begun
        undelivered = delivery.handovers.undelivered(threading.get_ident())
        first = 0
        if delivery.plan.count is None:
            position = delivery.handovers.next_position if undelivered is None else undelivered
            first = delivery.plan.reached(position)
        self._cursor = self._cursor.at(delivery.epoch + 1, first=first)
        if delivery.window.finished and undelivered is None and not delivery.failed:
            delivery.complete = True
            self._empty_epochs = 0 if delivery.served else self._empty_epochs + 1

    def join_end_of_epoch(self) -> None:
        """If the last batch of the epoch was handed out, end the epoch now, in this thread."""
        self._check_entry()
        with self._lock:
            me = self._enter()
            delivery = self._delivery
            if (
                delivery is not None
                and delivery.asked
                and delivery.window.finished
                and delivery.handovers.undelivered(me) is None
            ):
                self._issue_warnings(delivery)
                self._end_epoch()

    # --- batches --------------------------------------------------------------------------

    def peek(self) -> Any:
        """The next batch, shown and not delivered; begins an epoch where none is under way."""
        self._check_entry()
        with self._lock:
            me = self._enter()
            self._be_running()
            before = self._delivery
            handover = None if before is None else before.handovers.waiting(me)
            if handover is None:
                handover = self._find_next(None, stream=True)
                if self._delivery is not before and self._delivery is not None:
                    self._delivery.peeked = True
            return handover.batch

    def next_of_epoch(self, iterator: EpochIterator[Batch]) -> Handover:
        self._check_entry()
        with self._lock:
            me = self._enter()
            delivery = self._delivery
            if iterator.finished or delivery is not iterator.delivery or self._stopping:
                self._refuse(iterator)
            self._consumer = me
            iterator.delivery.asked = True
            try:
                return self._find_for(me, stream=False)
            except StopIteration:
                iterator.finished = True
                raise

    def _refuse(self, iterator: EpochIterator[Batch]) -> NoReturn:
        """Say why an iterator whose epoch is not under way gives no batch."""
        if self._stopping:
            self._give_way()
        if iterator.finished or iterator.delivery.complete:
            iterator.finished = True
            raise StopIteration
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
            me = self._enter()
            if self._stopping:
                self._give_way()
            if self._stopping or iterator.run != self._run or self._executor is None:
                raise StopIteration
            if iterator.stream is not self._stream:
                raise RuntimeError(
                    "this get() is stale: a later iter() or `for` has begun another epoch, and "
                    "there is one stream of batches at a time"
                )
            self._consumer = me
            try:
                return self._find_for(me, stream=True)
            except EnqueuerStopped:
                raise StopIteration from None

    def _find_for(self, me: int, *, stream: bool) -> Handover:
        """The next batch for a thread, found now, or found before and never delivered."""
        delivery = self._delivery
        handover = None if delivery is None else delivery.handovers.waiting(me)
        if handover is None:
            handover = self._find_next(me, stream=stream)
            delivery = self._delivery
        handover.thread = me
        if delivery is not None:
            delivery.asked = True
            delivery.peeked = False
        if not handover.counted:  # it may be found twice: shown, or interrupted
            handover.counted = True
            self._counters.delivered += 1
        return handover

    def _find_next(self, me: int | None, *, stream: bool) -> Handover:
        """Wait for the next batch and take it out of the window; for nobody, if only to show it."""
        while True:
            delivery = self._delivery
            if delivery is None:
                delivery = self._begin_epoch()
            if me is not None or delivery.window.finished:
                delivery.asked = True
            if delivery.window.finished:
                self._issue_warnings(delivery)
                self._end_epoch()
                if not stream or self._executor is None:
                    raise StopIteration
                self._check_not_empty(delivery)
                continue
            self._await_due(delivery)
            handover = self._hand_over(delivery, me)
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
            try:
                delivery.receive()
            except WorkerStartError:
                self._shut_down(ERROR_STOP_TIMEOUT_S)
                raise
            self._torn = False
            if delivery.warnings:
                self._issue_warnings(delivery)
            if window.due in window.arrived:
                return
            if waited_s >= PATIENCE_S and not warned:
                warned = True
                self._warn_slow(delivery, waited_s)
            begun = time.monotonic()
            try:
                executor.wait(None if warned else PATIENCE_S - waited_s)
            finally:
                step_s = time.monotonic() - begun
                self._counters.waited_s += step_s
            waited_s += step_s

    def _issue_warnings(self, delivery: Delivery) -> None:
        while delivery.warnings:
            messages.issue(delivery.warnings.popleft())

    def _warn_slow(self, delivery: Delivery, waited_s: float) -> None:
        ticket = delivery.due_ticket()
        where = messages.whereabouts(self._holder(ticket), self._busy())
        messages.issue(SlowBatchWarning(messages.slow_warning(ticket, waited_s, where)))

    def _busy(self) -> list[str]:
        ask = getattr(self._executor, "busy", None)
        found: list[str] = [] if ask is None else ask()
        return found

    def _holder(self, ticket: Ticket) -> tuple[int, int] | None:
        ask = getattr(self._executor, "holder", None)
        found: tuple[int, int] | None = None if ask is None else ask(ticket)
        return found

    def _raise_stopped(self, delivery: Delivery) -> NoReturn:
        raise EnqueuerStopped(
            f"stop() was called before epoch {delivery.epoch} was delivered completely"
        )

    def _hand_over(self, delivery: Delivery, me: int | None) -> Handover | None:
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
            handover = delivery.handovers.add(batch, position, me)
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
