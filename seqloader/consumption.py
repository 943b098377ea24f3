"""What happens inside the calls of the consumer: plan -> tickets -> executor -> window -> consumer.

Actors
    consumer   whoever is inside a call that takes the lock; hands batches over, runs hooks
    stopper    `stop()` in another thread, a signal handler or a finalizer

Rules
    R1  Every step that changes something runs between `_torn = True` and `_torn = False`; the
        wait does not. Who enters and finds `_torn` set was preceded by an exception that came
        asynchronously: it resets the executor and goes on after the last batch delivered.
    R2  A batch is delivered by the last act of `__next__` (see iterators.py); until then it waits
        in `_handovers`, and the same thread gets it again.
    R3  An epoch ends once; whoever ends it first takes `_delivery` away, then runs the hook.
    R4  `stop()` sets its flag and wakes the wait before it asks for the lock. Re-entered (signal
        handler, hook) it only sets the flag and kills.
    R5  An error in a hook, in `len()`, in sending the Sequence or in the epoch's batches stops
        everything before it is raised.
    R6  Warnings are issued where an exception can lose nothing: a filter may turn them into errors.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader import messages
from seqloader.delivery import Delivery
from seqloader.errors import (
    EnqueuerStopped,
    ForkedEnqueuerError,
    SeqloaderWarning,
    SlowBatchWarning,
    WorkerStartError,
    as_raisable,
)
from seqloader.handovers import Handover, Handovers
from seqloader.options import checked_queue_size, checked_timeout, checked_workers
from seqloader.order import Plan
from seqloader.randomness import Seeding, generators_of
from seqloader.sequence import count_batches, overrides_hook, run_hook
from seqloader.stats import Counters, Stats
from seqloader.tickets import Lost, Raised, Ticket

if TYPE_CHECKING:
    from typing import NoReturn

    from seqloader.executors.protocol import Executor
    from seqloader.iterators import EpochIterator, StreamIterator
    from seqloader.options import Options

__all__ = ["PATIENCE_S", "Consumption"]

Batch = TypeVar("Batch")

STOP_TIMEOUT_S = 5.0
ERROR_STOP_TIMEOUT_S = 1.0
"""`stop` after an error: idle workers need some milliseconds to leave; nobody waits for others."""
PATIENCE_S = 60.0
"""How long the consumer waits for one batch before it says so, once."""


class Consumption(Generic[Batch]):
    """One Sequence, one executor at a time, one epoch at a time, one consumer at a time."""

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        self.sequence = sequence
        self.shuffle = shuffle
        self.options = options
        self.workers = options.workers
        self.max_queue_size = _queue_size(self.workers, options.max_queue_size)
        self.must_refresh = False
        self._seeding = Seeding(options.seed, options.seeded)
        self._counters = Counters()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._consumer = 0
        """Thread that asked for a batch last."""
        self._torn = False
        self._stopping = False
        self._stopper = False
        """Whether a `stop()` waits for the lock."""
        self._run = 0
        """Counts starts."""
        self._executor: Executor | None = None
        self._delivery: Delivery | None = None
        self._handovers = Handovers()
        self._stream: object = None
        """Shared by all `get()`s of one stream; None while batches go to a `for`."""
        self._next_epoch = 0
        self._endless_from = 0
        self._empty_epochs = 0
        """Epochs in a row that held no batch."""
        self._warned_skip = False
        self._warned_generators = False

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._executor is not None and not self._stopping

    @property
    def epoch(self) -> int:
        """Number of the epoch under way; between epochs, of the coming one."""
        delivery = self._delivery
        return self._next_epoch if delivery is None else delivery.epoch

    def stats(self) -> Stats:
        """A snapshot. Takes no lock: any thread, any time."""
        delivery, executor = self._delivery, self._executor
        window = None if delivery is None else delivery.window
        return self._counters.snapshot(
            in_flight=0 if window is None else window.next - window.due,
            held_bytes=getattr(executor, "held_bytes", 0),
        )

    def compute(self, index: int, epoch: int) -> Any:
        """One batch, computed here as a worker would."""
        return self._seeding.compute_aside(self.sequence, Ticket(epoch, 0, index))

    # --- start and stop -------------------------------------------------------------------

    def start(self, workers: int | None = None, max_queue_size: int | None = None) -> None:
        """Launch the workers and send them the Sequence. Runs no hook.

        Args:
            workers: None takes the constructor's value.
            max_queue_size: None takes the constructor's value.
        """
        self._check_entry()
        with self._lock:
            self._enter()
            if self._executor is not None and not self._stopping:
                if workers is None and max_queue_size is None:
                    return
                raise RuntimeError("the enqueuer is running already: stop() it before start()")
            self._shut_down(ERROR_STOP_TIMEOUT_S)  # what a stop elsewhere left half done
            if workers is not None:
                self.workers = checked_workers(workers, self.options.executor)
            if workers is not None or max_queue_size is not None:
                given = checked_queue_size(max_queue_size) or self.options.max_queue_size
                self.max_queue_size = _queue_size(self.workers, given)
            self._start()

    def _start(self) -> None:
        executor = self.options.make_executor(self.workers, self.max_queue_size)
        self._warn_of_generators()
        self._torn = True
        # Assigned before it starts: whatever interrupts the start, it can be stopped.
        self._executor = executor
        try:
            self._run += 1
            self._stopping = False
            self._stream = None
            executor.start(self.sequence, self._seeding)
        except BaseException:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False

    def _warn_of_generators(self) -> None:
        names = generators_of(self.sequence) if self.options.seeded else ()
        if names and not self._warned_generators:
            self._warned_generators = True
            warnings.warn(SeqloaderWarning(messages.generators_warning(names)), stacklevel=4)

    def stop(self, timeout: float | None) -> None:
        """End everything; in the consumer's own thread the epoch too, hook included."""
        self._stop(STOP_TIMEOUT_S if timeout is None else checked_timeout(timeout), hooks=True)

    def stop_after_error(self) -> None:
        """As `stop`, soon and without hooks."""
        self._stop(ERROR_STOP_TIMEOUT_S, hooks=False)

    def _stop(self, timeout_s: float, *, hooks: bool) -> None:
        executor = self._executor
        if executor is None:
            return
        if os.getpid() != self._pid:
            executor.abandon()
            return
        deadline = time.monotonic() + timeout_s
        inside = self._owns_lock()  # a signal handler or a hook: whoever was interrupted cleans up
        me = threading.get_ident()
        try:
            self._stopper = not inside
            self._stopping = True
            executor.wake()
            if inside:
                executor.kill()
                return
            if not self._lock.acquire(timeout=timeout_s):
                executor.kill()
                return
            delivery = self._delivery
            ends = hooks and delivery is not None and self._consumer == me and not self._torn
            self._shut_down(max(0.0, deadline - time.monotonic()))
            if ends and delivery is not None and delivery.asked and not delivery.failed:
                self._run_hook("on_epoch_end", delivery.epoch)
        finally:
            self._stopper = False
            if not inside and self._owns_lock():
                self._lock.release()

    def _give_way(self) -> None:
        """`stop()` was called: clean up, unless it waits for the lock to do so in its own time."""
        if not self._stopper:
            self._shut_down(ERROR_STOP_TIMEOUT_S)

    def _shut_down(self, timeout_s: float) -> None:
        """Stop the executor and forget the epoch. From any state."""
        executor, delivery = self._executor, self._delivery
        if executor is None:
            return
        self._torn = True
        self._stopping = True
        if delivery is not None:
            self._note_end(delivery)
        executor.stop(timeout_s)
        self._delivery = None
        self._handovers.clear()
        self._executor = None
        self._torn = False

    def __del__(self) -> None:
        executor = self.__dict__.get("_executor")
        if executor is not None:
            with contextlib.suppress(BaseException):
                executor.abandon()

    # --- entering -------------------------------------------------------------------------

    def _check_entry(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedEnqueuerError(
                "this enqueuer belongs to the process that made it; a forked child has no "
                "part in its workers. Make another one in the child"
            )
        if self._owns_lock():
            raise RuntimeError(
                "the enqueuer was entered again from inside one of its own calls (a hook, a "
                "signal handler, or __getitem__ in the consumer); only stop() and stats() may be"
            )

    def _owns_lock(self) -> bool:
        owned: bool = self._lock._is_owned()  # type: ignore[attr-defined]
        return owned

    def _enter(self) -> int:
        """First act under the lock. (`with lock:` is safe from asynchronous exceptions, a context
        manager of our own would not be.)"""
        if self._torn:
            self._mend()
        return threading.get_ident()

    def _mend(self) -> None:
        """Go on after an exception that came asynchronously inside a step."""
        executor, delivery = self._executor, self._delivery
        if executor is None:
            self._torn = False
            return
        if self._stopping:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            return
        try:
            executor.reset()
            if delivery is not None:
                delivery.restart(self._handovers.next_position)
                delivery.fill()
        except Exception:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False

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

    def _be_running(self) -> None:
        if self._stopping:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
        if self._executor is None:
            self._start()

    def _begin_epoch(self) -> Delivery:
        executor = self._executor
        assert executor is not None
        epoch = self._next_epoch
        self._torn = True
        try:
            self._run_hook("on_epoch_begin", epoch)
            count = count_batches(self.sequence)
            if self._stopping:
                raise EnqueuerStopped(f"stop() was called while epoch {epoch} began")
            first = self._endless_from if count is None else 0
            plan = Plan(count, self.shuffle, self.options.seed, epoch, first=first)
            executor.load(self.sequence, in_place=self._may_have_changed())
            limit, counters = self.max_queue_size, self._counters
            delivery = Delivery(plan, executor, self.options, counters, limit=limit)
            self.must_refresh = False
            self._handovers.clear()
            self._delivery = delivery
            self._next_epoch = epoch + 1
            delivery.fill()
        except BaseException:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False
        return delivery

    def _may_have_changed(self) -> bool:
        names = ("on_epoch_begin", "on_epoch_end")
        return self.must_refresh or any(overrides_hook(self.sequence, name) for name in names)

    def _run_hook(self, name: str, epoch: int) -> None:
        if overrides_hook(self.sequence, name):
            self._seeding.hook(epoch, lambda: run_hook(self.sequence, name), name=name)

    def _end_epoch(self) -> None:
        """End the epoch under way, if there is one: nothing in work, then the hook."""
        delivery, executor = self._delivery, self._executor
        if delivery is None or executor is None:
            return
        self._torn = True
        try:
            self._note_end(delivery)
            executor.discard()
            self._delivery = None  # before the hook: an epoch ends once, also if it raises
            self._handovers.clear()
            if delivery.asked and not self._stopping:
                self._run_hook("on_epoch_end", delivery.epoch)
        except BaseException:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False
        if self._stopping:
            self._give_way()
            if not delivery.window.finished:
                self._raise_stopped(delivery)

    def _note_end(self, delivery: Delivery) -> None:
        if delivery.plan.count is None:
            self._endless_from = delivery.plan.index(delivery.window.due)
        if not delivery.asked:
            self._next_epoch = delivery.epoch
        elif delivery.window.finished:
            self._empty_epochs = 0 if delivery.served else self._empty_epochs + 1

    def join_end_of_epoch(self) -> None:
        """If the last batch of the epoch was handed out, end the epoch now, in this thread."""
        self._check_entry()
        with self._lock:
            self._enter()
            delivery = self._delivery
            if delivery is not None and delivery.asked and delivery.window.finished:
                self._end_epoch()

    # --- batches --------------------------------------------------------------------------

    def peek(self) -> Any:
        """The next batch, without delivering it: the next `next()` returns the same object.

        Where no epoch is under way one begins, and the next `for` or `get()` goes on with it.
        """
        self._check_entry()
        with self._lock:
            self._enter()
            self._be_running()
            handover = self._handovers.waiting(None)
            if handover is None:
                before = self._delivery
                handover = self._find_next(stream=True)
                handover.thread = None
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
                handover = self._handovers.waiting(me) or self._find_next(stream=False)
            except StopIteration:
                iterator.finished = True
                raise
            self._count(handover)
            return handover

    def _refuse(self, iterator: EpochIterator[Batch]) -> NoReturn:
        """Say why an iterator whose epoch is not under way gives no batch."""
        if self._stopping:
            self._give_way()
        if iterator.finished or iterator.delivery.window.finished:
            iterator.finished = True
            raise StopIteration
        epoch = iterator.delivery.epoch
        if iterator.run == self._run and self.running:
            raise RuntimeError(
                f"this iterator of epoch {epoch} is stale: a later iter(), get() or `for` has "
                "begun another epoch, and there is one iterator at a time"
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
                handover = self._handovers.waiting(me) or self._find_next(stream=True)
            except EnqueuerStopped:
                raise StopIteration from None
            if self._delivery is not None:
                self._delivery.asked = True
                self._delivery.peeked = False
            self._count(handover)
            return handover

    def _count(self, handover: Handover) -> None:
        if not handover.counted:  # it may be asked for twice: peeked at, or interrupted
            handover.counted = True
            self._counters.delivered += 1

    def _find_next(self, *, stream: bool) -> Handover:
        """Wait for the next batch and take it out of the window."""
        while True:
            delivery = self._delivery
            if delivery is None:
                delivery = self._begin_epoch()
            if delivery.window.finished:
                delivery.asked = True
                self._end_epoch()
                if not stream or self._executor is None:
                    raise StopIteration
                self._check_not_empty(delivery)
                continue
            self._await_due(delivery)
            handover = self._hand_over(delivery)
            if handover is not None:
                return handover

    def _check_not_empty(self, delivery: Delivery) -> None:
        if delivery.plan.count == 0 or self._empty_epochs >= 2:
            why = (
                "its length is 0" if delivery.plan.count == 0 else "every batch was None or skipped"
            )
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
            self._torn = True
            try:
                delivery.receive()
            except WorkerStartError:
                self._shut_down(ERROR_STOP_TIMEOUT_S)
                raise
            self._torn = False
            while delivery.warnings:
                warnings.warn(delivery.warnings.popleft(), stacklevel=5)
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

    def _warn_slow(self, delivery: Delivery, waited_s: float) -> None:
        ticket = delivery.due_ticket()
        warnings.warn(
            messages.slow_warning(ticket, waited_s, self._holder(ticket)),
            SlowBatchWarning,
            stacklevel=6,
        )

    def _holder(self, ticket: Ticket) -> tuple[int, int] | None:
        ask = getattr(self._executor, "holder", None)
        found: tuple[int, int] | None = None if ask is None else ask(ticket)
        return found

    def _raise_stopped(self, delivery: Delivery) -> NoReturn:
        raise EnqueuerStopped(
            f"stop() was called before epoch {delivery.epoch} was delivered completely"
        )

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
            self._left_out(delivery, batch)
        elif batch is not None:
            delivery.served += 1
            handover = self._handovers.add(batch, position, self._consumer)
            self._torn = False
            return handover
        self._handovers.leave_out(position)
        self._torn = False
        return None

    def _left_out(self, delivery: Delivery, answer: Raised | Lost) -> None:
        """Raise the error in place of its batch; with on_error="skip" count and warn once."""
        error = as_raisable(delivery.error_of(answer))
        if self.options.on_error == "skip" and isinstance(error, Exception):
            self._counters.skipped += 1
            if not self._warned_skip:
                self._warned_skip = True
                delivery.warnings.append(SeqloaderWarning(messages.skip_warning(answer, error)))
            return
        delivery.failed = True
        self._shut_down(ERROR_STOP_TIMEOUT_S)
        raise error


def _queue_size(workers: int, given: int | None) -> int:
    if given is None:
        return max(10, 2 * workers)
    if given < workers:
        warnings.warn(
            f"max_queue_size={given} is below workers={workers}: at most {given} batches are "
            f"computed at a time, so {workers - given} workers will idle",
            SeqloaderWarning,
            stacklevel=4,
        )
    return given
