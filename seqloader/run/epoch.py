"""One epoch under way: tickets issued, outcomes taken in, tried again, and put in order.

It decides with the pure parts (plan, window) and speaks to one executor. It runs inside the
enqueuer's lock and inside a step that may be torn: then the enqueuer resets the executor and calls
`restart`, and whatever was not handed over is computed again.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from seqloader.errors import SeqloaderWarning, WorkerLostWarning
from seqloader.executors.diagnostics import diagnostics_of
from seqloader.order import Window
from seqloader.randomness.drawn_values import Disagreements, Noticed
from seqloader.run import messages
from seqloader.run.handovers import Handovers
from seqloader.run.observed import Observed
from seqloader.run.states import EPOCH, EpochState
from seqloader.tickets import Death, Lost, Raised, RebuildError, Shortage, Ticket

if TYPE_CHECKING:
    from seqloader.executors.protocol import Executor
    from seqloader.order import Plan, Ranges
    from seqloader.run.options import Options
    from seqloader.stats import Counters
    from seqloader.tickets import Computed, Outcome

__all__ = ["Epoch"]

INDICES_AT_ONCE = 64
"""Indices of the plan are computed in runs: a shuffled one costs little more than a single."""


class Later(Protocol):
    """What an epoch asks of those after it."""

    def fill(self, under_way: Epoch) -> None:
        """Issue tickets as far as the window of the epoch under way leaves room."""

    def of(self, number: int) -> Epoch | None:
        """The epoch of that number, if it is computed ahead."""


class Epoch:
    """The epoch under way."""

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        options: Options,
        counters: Counters,
        *,
        limit: int,
        sequence: Any = None,
        start: int = 0,
        skips: Ranges | None = None,
        disagreements: Disagreements | None = None,
        observed: Observed | None = None,
    ) -> None:
        self.number = plan.epoch
        self.sequence = sequence
        """Whose hooks belong to this epoch; the enqueuer may have been given another meanwhile."""
        self.plan = plan
        self.window: Window[Computed | Raised | Lost] = Window(
            limit=limit,
            byte_limit=options.max_queue_bytes,
            end=plan.count,
            due=start,
            skips=skips,
        )
        self.handovers = Handovers(start)
        self.state = EpochState.BEGUN
        self.warnings: deque[Warning] = deque()
        """To be issued where an exception can lose nothing: a filter may turn them into errors."""
        self.ahead: Later | None = None
        """The epochs after this one, where they are computed before they begin."""
        self.observed = observed or Observed()
        """Who is told what happens."""
        self._executor = executor
        self._options = options
        self.counters = counters
        self._delivered_before = 0
        self.begins()
        self._disagreements = disagreements or Disagreements()
        self._raised: dict[int, int] = {}
        self._lost: dict[int, int] = {}
        self._relieved: set[int] = set()
        """Positions that were tried again after a garbage collection."""
        self._skipped: set[int] = set()
        """Positions left out because they raised."""
        self._indices: list[int] = []
        self._indices_from = 0
        padding_from = plan.padding_from
        self._real = sys.maxsize if padding_from is None else padding_from

    # --- its states -----------------------------------------------------------------------

    def begins(self) -> None:
        """It is under way from now on: what is delivered is its own."""
        self._delivered_before = self.counters.delivered - self.handovers.next_position

    def becomes(self, event: str) -> None:
        """Something has happened to it: see states.py."""
        self.state = EPOCH[event][self.state]

    @property
    def counts(self) -> bool:
        """Whether it has begun for the user: else it is as if it had not begun."""
        return self.state not in (EpochState.BEGUN, EpochState.SHOWN, EpochState.VOID)

    @property
    def has_hook_due(self) -> bool:
        """Whether its `on_epoch_end` is to run at its end."""
        return self.state in (EpochState.ASKED, EpochState.COMPLETE)

    @property
    def is_delivered(self) -> bool:
        """Whether nothing of it is left to be delivered."""
        handovers = self.handovers
        return self.window.finished and handovers.delivered == handovers.next_position

    @property
    def served(self) -> int:
        """Batches handed over; None batches do not count. Those before the start do."""
        return self.counters.delivered - self._delivered_before

    @property
    def remaining(self) -> int | None:
        """Batches to be delivered, as planned; None: endless. Any thread."""
        if self.state not in (EpochState.BEGUN, EpochState.SHOWN, EpochState.ASKED):
            return 0
        left = self.window.left
        return None if left is None else left + (self.handovers.undelivered is not None)

    def issue_warnings(self) -> None:
        """Issue what it has to say, where an exception can lose nothing."""
        while self.warnings:
            messages.issue(self.warnings.popleft())

    def check(self) -> None:
        """Assert what holds between any two calls."""
        self.window.check()
        assert self.handovers.next_position <= self.window.due, "handed over what is not due"
        if self.state is EpochState.COMPLETE:
            assert self.is_delivered, f"complete, with {self.window.ahead} batches ahead"

    # --- tickets --------------------------------------------------------------------------

    def fill(self) -> None:
        """Issue tickets as far as the window permits."""
        window, submit, epoch, real = self.window, self._executor.submit, self.number, self._real
        while window.may_issue():
            position = window.issue()
            submit(Ticket(epoch, position, self._index(position), 0, position >= real))
        if self.ahead is not None and window.next == window.end:
            self.ahead.fill(self)

    def issue(self) -> None:
        """Issue one ticket, the next, before this epoch begins."""
        position = self.window.issue()
        ticket = Ticket(self.number, position, self._index(position), 0, position >= self._real)
        self._executor.submit(ticket)

    def resize(self, limit: int) -> None:
        """So many batches ahead from now on."""
        self.window.resize(limit)
        self.fill()

    def _index(self, position: int) -> int:
        offset = position - self._indices_from
        if not 0 <= offset < len(self._indices):
            count = self.plan.count
            stop = position + INDICES_AT_ONCE
            self._indices = self.plan.indices(position, stop if count is None else min(stop, count))
            self._indices_from, offset = position, 0
        return self._indices[offset]

    def restart(self, skips: Ranges | None = None) -> None:
        """Forget what is in flight: it goes on with what was not handed over, nor is skipped."""
        self._note_edits()
        self._discard_answers(self.window.restart(self.handovers.next_position))
        if skips is not None:
            self._discard_answers(self.window.skip(skips))

    def discard(self) -> None:
        """Throw away what was computed ahead and will not be handed over."""
        self._discard_answers(self.window.restart(self.window.due))

    def skip(self, positions: Ranges) -> None:
        """Do not deliver these, of what was not delivered yet."""
        undelivered = self.handovers.undelivered
        if undelivered is not None and undelivered in positions:
            self.handovers.discard(undelivered)
            self.counters.delivered -= 1
        self._discard_answers(self.window.skip(positions))
        self.fill()

    @staticmethod
    def _discard_answers(answers: list[Computed | Raised | Lost]) -> None:
        for answer in answers:
            if not isinstance(answer, tuple):
                answer.discard()

    # --- outcomes -------------------------------------------------------------------------

    def receive(self) -> None:
        """Take in everything the executor has."""
        for outcome in self._executor.collect():
            if self.observed.trace is not None:
                self._note_in_trace(outcome)
            self._take_in(outcome)
        if self._options.max_queue_bytes is not None or self.window.next == self.window.due:
            self.fill()  # the size of a batch is known now, or skipped ones are out of the way

    def _take_in(self, outcome: Outcome | Death | Shortage | Noticed) -> None:
        if not isinstance(outcome, tuple):  # the others are: the commonest is told apart first
            ticket, busy_s = outcome.ticket, outcome.busy_s
            if ticket.epoch != self.number:
                self._take_in_elsewhere(outcome)
                return
            counters = self.counters
            counters.busy_s[outcome.slot] += busy_s
            counters.computed += 1
            if busy_s > counters.slow_from_s:
                counters.note_slow(ticket.index, busy_s)
            if not self.window.arrive(ticket.position, outcome, outcome.nbytes):
                outcome.discard()
        elif isinstance(outcome, (Raised, Lost)):
            if outcome.ticket.epoch != self.number:
                self._take_in_elsewhere(outcome)
            elif isinstance(outcome, Raised):
                self._note_raised(outcome)
            else:
                self._note_lost(outcome)
        elif isinstance(outcome, Noticed):
            if self._disagreements.take(outcome):
                text = messages.drawn_warning(outcome.name)
                self.warnings.append(SeqloaderWarning(text))
        elif isinstance(outcome, Shortage):
            self.counters.shortages += 1
            self.warnings.append(WorkerLostWarning(messages.shortage_warning(outcome)))
        else:
            self._note_death(None, outcome, again=False)

    def _take_in_elsewhere(self, outcome: Outcome) -> None:
        """It is of an epoch that is computed ahead; or of one that is over, where a batch was
        skipped while it was computed."""
        number = outcome.ticket.epoch
        epoch = None if self.ahead is None else self.ahead.of(number)
        if epoch is not None:
            epoch._take_in(outcome)
        elif isinstance(outcome, Lost):
            self._note_death(outcome.ticket, outcome.death, again=False)
        else:
            self.counters.busy_s[outcome.slot] += outcome.busy_s
            self.counters.computed += 1
            if not isinstance(outcome, Raised):
                outcome.discard()

    def _note_in_trace(self, outcome: Outcome | Death | Shortage | Noticed) -> None:
        trace = self.observed.trace
        assert trace is not None
        trace.arrived(outcome)
        failure = self.observed.trace_failure()
        if failure is not None:
            self.warnings.append(failure)

    def _note_raised(self, raised: Raised) -> None:
        self.counters.busy_s[raised.slot] += raised.busy_s
        self.counters.computed += 1
        position = raised.ticket.position
        if not self.window.awaits(position):
            self.window.arrive(position, raised)
            return
        if isinstance(raised.error, MemoryError) and self._relieve(raised):
            return
        tries = self._raised[position] = self._raised.get(position, 0) + 1
        if tries <= self._options.retries and isinstance(raised.error, Exception):
            self._try_again(raised.ticket)
        else:
            self.window.arrive(position, raised)

    def _relieve(self, raised: Raised) -> bool:
        """Memory ran out: where the consumer holds some, collect garbage once and try again."""
        position = raised.ticket.position
        known = diagnostics_of(self._executor)
        batches = known.held_batches()
        if not batches:
            return False
        if position not in self._relieved:
            self._relieved.add(position)
            gc.collect()
            self._try_again(raised.ticket)
            return True
        raised.error.add_note(messages.held_note(batches, known.held_bytes()))
        return False

    def _note_lost(self, lost: Lost) -> None:
        position = lost.ticket.position
        tries = self._lost[position] = self._lost.get(position, 0) + 1
        again = tries <= self._options.crash_retries and self.window.awaits(position)
        self._note_death(lost.ticket, lost.death, again=again)
        if again:
            self._try_again(lost.ticket)
        else:
            self.window.arrive(position, lost)

    def _note_death(self, ticket: Ticket | None, death: Death, *, again: bool) -> None:
        self.counters.respawns += 1
        self.counters.memory_deaths += death.for_memory
        self.observed.died(self.counters.respawns)
        if death.replaced or not death.failed:  # else a shortage is said, and not at each try
            text = messages.lost_warning(ticket, death, again=again)
            self.warnings.append(WorkerLostWarning(text))
        self._note_edits()
        if death.reason == "timeout":
            import logging  # not above: the first workers would wait for it

            logging.getLogger("seqloader").warning("%s", messages.stack_text(death))

    def _note_edits(self) -> None:
        """Workers are new: they may have imported other code than those before."""
        for module, file in diagnostics_of(self._executor).edited():
            self.warnings.append(SeqloaderWarning(messages.edited_warning(module, file)))

    def _try_again(self, ticket: Ticket) -> None:
        self.counters.retried += 1
        self._executor.submit(ticket._replace(attempt=ticket.attempt + 1))

    # --- the position due -----------------------------------------------------------------

    def error_of(self, answer: Raised | Lost) -> BaseException:
        """The exception to raise in place of a batch."""
        if isinstance(answer, Raised):
            with contextlib.suppress(Exception):  # a class of the user's may refuse any attribute
                BaseException.add_note(answer.error, messages.batch_note(answer))
            return answer.error
        attempts = self._lost[answer.ticket.position]
        return messages.lost_error(answer, attempts, self._options.timeout_s)

    def skips_once(self, position: int) -> bool:
        """Whether this error is skipped for the first time; a torn step may bring it again."""
        known = position in self._skipped
        self._skipped.add(position)
        return not known

    def idle_workers(self, workers: int) -> bool:
        """Whether some of so many workers have nothing to do, since the window is full of later
        batches than the one due."""
        window = self.window
        return window.ahead - len(window.arrived) < workers and window.next != window.end

    def due_ticket(self) -> Ticket:
        """A ticket of the position due, for messages."""
        position = self.window.due
        return Ticket(self.number, position, self.plan.index(position))

    def open(self, answer: Computed) -> Any:
        """The batch; a `Raised` where rebuilding user objects raises."""
        try:
            trace = self.observed.trace
            if trace is None:
                return answer.open()
            begun_ns = time.perf_counter_ns()
            batch = answer.open()
            trace.handed(answer.ticket, begun_ns, self.window.ahead)
            return batch
        except RebuildError as error:
            assert error.__cause__ is not None
            return Raised(answer.ticket, answer.slot, error.__cause__)
