"""One epoch after another: begun, ended, and their hooks.

Actors and the rules of tearing, mending and stopping are in lifecycle.py. Further rules:

    R5  An epoch ends once; whoever ends it first takes `_delivery` away, then runs the hook.
    R6  An error in a hook, in `len()`, in sending the Sequence, in the epoch's batches or in the
        executor stops everything before it is raised, and no hook runs for that epoch. Of what
        comes out of the executor's `wait`, which tears nothing, its own failures are told from
        what came asynchronously (a signal handler that raises).
    R7  Warnings are issued where an exception can lose nothing: a filter may turn them into errors.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from seqloader.errors import (
    ENDINGS,
    EnqueuerStopped,
    SeqloaderWarning,
    SlowBatchWarning,
    as_raisable,
)
from seqloader.executors.computing import Computing
from seqloader.order import Cursor
from seqloader.randomness.drawn_values import Disagreements
from seqloader.run import messages
from seqloader.run.delivery import Delivery
from seqloader.run.lifecycle import ERROR_STOP_TIMEOUT_S, Lifecycle
from seqloader.run.planning import planned
from seqloader.run.resume.bookmarks import Bookmark, Bookmarks
from seqloader.sequence.interface import count_batches, overrides_hook, run_hook
from seqloader.stats import Counters, Stats
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from seqloader.order import Plan
    from seqloader.run.options import Options

__all__ = ["PATIENCE_S", "Epochs"]

PATIENCE_S = 60.0
"""How long the consumer waits for one batch before it says so, once."""


class Epochs(Lifecycle):
    """One epoch at a time."""

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
        self._warned_turns = False
        self._disagreements = Disagreements()
        self._hooked: Any = None
        """The Sequence whose hooks have run."""
        self._end_is_due = False
        """Whether `stop()` is about to run the hook of an epoch that is not under way any more."""
        self._cut_short: EnqueuerStopped | None = None
        """What our own `stop()` has just raised in the consumer."""

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
        seeding = self._seeding
        seeded = seeding.reseed_globals
        # Threads may be computing with the generators that are set for this batch.
        turn = getattr(self._executor, "turn", None) or contextlib.nullcontext()
        try:
            with turn:
                self._settle_order()
                computing = Computing(self.sequence, seeding, seeded=seeded, worker=False)
                return computing.compute(Ticket(epoch, 0, index))
        except ENDINGS as error:
            raise as_raisable(error) from error

    # --- what the life cycle asks for -----------------------------------------------------

    def _forget(self) -> None:
        delivery = self._delivery
        if delivery is not None:
            self._note_end(delivery)
            delivery.window.arrived.clear()  # whoever keeps the iterator keeps no memory
            delivery.handovers.clear()
        self._delivery = None
        self._stream = None
        self._disagreements.forget()
        if not self._end_is_due:
            self._marks.between_epochs(self._cursor)

    def _spoil(self) -> None:
        if self._delivery is not None:
            # Its last batch may have left the window and reached nobody: no silent end for that.
            self._delivery.failed = True

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

    # --- one epoch ------------------------------------------------------------------------

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
            self._settle_order(begins=True)
            if self._stopping:
                raise self._stopped(f"stop() was called while epoch {epoch} began")
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
                disagreements=self._disagreements,
            )
            delivery.fill()
            if getattr(executor, "takes_turns", False) and not self._warned_turns:
                self._warned_turns = True
                delivery.warnings.append(SeqloaderWarning(messages.turns_warning()))
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
            self._hooked = sequence
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
        undelivered = delivery.handovers.undelivered
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
            self._inside(self._join_end_of_epoch)

    def _join_end_of_epoch(self) -> None:
        delivery = self._delivery
        if (
            delivery is not None
            and delivery.asked
            and delivery.window.finished
            and delivery.handovers.undelivered is None
        ):
            self._issue_warnings(delivery)
            self._end_epoch()

    # --- what is said ---------------------------------------------------------------------

    def _issue_warnings(self, delivery: Delivery) -> None:
        while delivery.warnings:
            messages.issue(delivery.warnings.popleft())

    def _busy(self) -> list[str]:
        ask = getattr(self._executor, "busy", None)
        found: list[str] = [] if ask is None else ask()
        return found

    def _stopped(self, text: str) -> EnqueuerStopped:
        """The error of our own `stop()`: `get()` ends with it. One that user code raises, of
        another enqueuer, is an error like any."""
        self._cut_short = EnqueuerStopped(text)
        return self._cut_short

    def _raise_stopped(self, delivery: Delivery) -> NoReturn:
        raise self._stopped(
            f"stop() was called before epoch {delivery.epoch} was delivered completely"
        )
