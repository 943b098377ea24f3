"""A pool without processes: pipes are queues, workers are tables of steps, anyone may die anywhere.

The ledger under test is the real one. Every step of a worker, and every single look of the consumer
at a fact, is one action, so that whoever chooses the actions chooses the interleaving.

    worker     idle -> READ (has a ticket, nobody knows) -> NOTED (its row says so)
               -> COMPUTING or DROPPING (it has looked at the floor) -> REPORTED -> idle
    consumer   submit, write, drain, or a burial: pipe, one row after the other, reports, verdict;
               a discard: floor, then drains and burials until nothing is in work
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from typing import Any, Final, NamedTuple

from seqloader.executors.process.consumer.ledger import Ledger
from seqloader.tickets import Ticket

__all__ = ["FACTS", "Action", "PoolModel"]

IDLE, READ, NOTED, COMPUTING, DROPPING, REPORTED, DEAD = (
    "idle", "read", "noted", "computing", "dropping", "reported", "dead",
)  # fmt: skip

FACTS: Final = ("deaths", "pipe", "rows", "reports")
"""The order in which a burial gathers them: rule R3 of the ledger."""


class Action(NamedTuple):
    """Who does one step."""

    who: str
    worker: int = 0


class Burial:
    """What the consumer knows of it so far."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self.todo: list[tuple[str, int]] = [(fact, 0) for fact in order]
        self.dead: tuple[int, ...] = ()
        self.in_pipe = 0
        self.rows: dict[int, int] = {}


class PoolModel:
    """The pool in one state.

    Args:
        workers: slots; the dead are replaced when they are buried.
        tickets: how many the enqueuer submits, one by one.
        kills: how many deaths may come.
        discards: how often the enqueuer may discard.
        order: in which a burial gathers its facts.
    """

    def __init__(
        self,
        *,
        workers: int,
        tickets: int,
        kills: int,
        discards: int = 0,
        order: tuple[str, ...] = FACTS,
    ) -> None:
        self.ledger = Ledger()
        self.to_submit = deque(Ticket(0, n, n) for n in range(tickets))
        self.kills = kills
        self.discards = discards
        self.order = order
        self.pipe: deque[int] = deque()
        self.reports: deque[int] = deque()
        self.floor = 0
        self.state = dict.fromkeys(range(1, workers + 1), IDLE)
        self.hand: dict[int, int] = {}
        """Worker -> serial it has taken out of the pipe."""
        self.row = dict.fromkeys(self.state, 0)
        self.ever = workers
        self.burial: Burial | None = None
        self.discarding = False
        self.settled = 0
        """No serial below this may be in work: a discard has returned."""
        self.outcomes: Counter[Ticket] = Counter()
        self.dropped: set[Ticket] = set()
        """What a discard took back."""
        self.unknown = 0
        self.noted_by: dict[int, int] = {}
        """Serial -> the worker that noted it last."""
        self.reported: set[int] = set()

    # --- choosing -------------------------------------------------------------------------

    def actions(self) -> list[Action]:
        """Everything that may happen next."""
        found = [
            Action("worker", n)
            for n, state in self.state.items()
            if state != DEAD and (state != IDLE or self.pipe)
        ]
        if self.kills:
            found += [Action("kill", n) for n, state in self.state.items() if state != DEAD]
        return found + self._of_the_consumer()

    def _of_the_consumer(self) -> list[Action]:
        if self.burial is not None:
            return [Action("bury")]
        found = []
        if any(state == DEAD for state in self.state.values()):
            found.append(Action("bury"))
        if self.reports:
            found.append(Action("drain"))
        if self.discarding:
            return found if self._is_computing() else [*found, Action("settle")]
        if self.to_submit:
            found.append(Action("submit"))
        if self.ledger.unwritten:
            found.append(Action("write"))
        if self.discards:
            found.append(Action("discard"))
        return found

    def _is_computing(self) -> bool:
        # As Traffic.is_computing asks: what was written and not answered, then every row.
        return bool(self.ledger.written) or any(self.row[n] for n in self.state)

    def do(self, action: Action) -> None:
        """Take the step, and assert what must always hold."""
        getattr(self, f"_{action.who}")(*([action.worker] if action.worker else []))
        self.ledger.check()
        assert all(count == 1 for count in self.outcomes.values()), "answered twice"

    def do_if_possible(self, who: str) -> None:
        """Take the consumer's step, if it can be taken now."""
        action = Action(who)
        if action in self.actions():
            self.do(action)

    # --- workers --------------------------------------------------------------------------

    def _worker(self, n: int) -> None:
        state = self.state[n]
        if state == IDLE:
            self.hand[n] = self.pipe.popleft()
            self.state[n] = READ
        elif state == READ:
            self.row[n] = self.hand[n]
            self.noted_by[self.hand[n]] = n
            self.state[n] = NOTED
        elif state == NOTED:
            below = self.hand[n] < self.floor
            self.state[n] = DROPPING if below else COMPUTING
            assert below or self.hand[n] >= self.settled, "computed after a discard had returned"
        elif state in (COMPUTING, DROPPING):
            self.reports.append(self.hand[n])
            self.reported.add(self.hand[n])
            self.state[n] = REPORTED
        else:
            self.row[n] = 0
            self.state[n] = IDLE

    def _kill(self, n: int) -> None:
        self.kills -= 1
        self.state[n] = DEAD

    # --- the consumer ---------------------------------------------------------------------

    def _submit(self) -> None:
        self.ledger.unwritten.append(self.to_submit.popleft())

    def _write(self) -> None:
        self.pipe.append(self.ledger.write(self.ledger.unwritten.popleft()))

    def _drain(self) -> None:
        while self.reports:
            ticket = self.ledger.answer(self.reports.popleft())
            if ticket is None:
                self.unknown += 1
            elif not self.discarding:
                self.outcomes[ticket] += 1

    def _bury(self) -> None:
        burial = self.burial
        if burial is None:
            burial = self.burial = Burial(self.order)
        fact, n = burial.todo.pop(0)
        if fact == "deaths":
            burial.dead = tuple(n for n, state in self.state.items() if state == DEAD)
        elif fact == "pipe":
            burial.in_pipe = len(self.pipe)
        elif fact == "rows":
            burial.todo[:0] = [("row", n) for n in self.state if n not in burial.dead]
        elif fact == "row":
            burial.rows[n] = self.row[n]
        else:
            self._drain()
        if not burial.todo:
            self._judge(burial)
            self.burial = None

    def _judge(self, burial: Burial) -> None:
        taken = {n: self.row[n] for n in burial.dead}
        held = {serial for n, serial in burial.rows.items() if n not in burial.dead}
        verdict = self.ledger.bury(in_pipe=burial.in_pipe, held=held, taken=taken)
        for n, ticket in verdict.blamed.items():
            assert n in burial.dead, "blamed a worker that lives"
            assert self.noted_by.get(self.row[n]) == n, "blamed a worker that had not noted it"
            assert self.row[n] not in self.reported, "blamed for a batch that it had reported"
            if not self.discarding:
                self.outcomes[ticket] += 1
        self.ledger.unwritten.extendleft(reversed(verdict.again))
        if self.discarding:
            self.dropped.update(self.ledger.unwritten)
            self.ledger.unwritten.clear()
        for n in burial.dead:
            del self.state[n], self.row[n]
            self.ever += 1
            self.state[self.ever], self.row[self.ever] = IDLE, 0

    def _discard(self) -> None:
        self.discards -= 1
        self.discarding = True
        self.dropped.update(self.ledger.unwritten, self.ledger.written.values())
        self.ledger.unwritten.clear()
        self.floor = self.ledger.next_serial

    def _settle(self) -> None:
        self.discarding = False
        self.settled = self.floor
        at_work = [n for n, state in self.state.items() if state == COMPUTING]
        assert not [n for n in at_work if self.hand[n] < self.floor], "still computed"

    # --- ends -----------------------------------------------------------------------------

    def run_dry(self) -> None:
        """Let all go on without further deaths until nothing is left to do."""
        self.kills = self.discards = 0
        while actions := self.actions():
            self.do(actions[0])

    def check_end(self) -> None:
        """Assert, of a pool run dry, that no ticket is lost for good."""
        submitted = set(self.outcomes) | self.dropped
        assert not self.ledger.written, f"lost for good: {self.ledger.written}"
        assert not self.ledger.unwritten
        assert {ticket.position for ticket in submitted} == set(range(len(submitted)))
        assert not self.to_submit

    def copy(self) -> PoolModel:
        """The same state, to go on from separately."""
        other = copy.copy(self)
        other.ledger = copy.deepcopy(self.ledger)
        for name in ("to_submit", "pipe", "reports", "state", "hand", "row", "outcomes"):
            setattr(other, name, copy.copy(getattr(self, name)))
        other.dropped, other.reported = set(self.dropped), set(self.reported)
        other.noted_by = dict(self.noted_by)
        if self.burial is not None:
            other.burial = copy.copy(self.burial)
            other.burial.todo = list(self.burial.todo)
            other.burial.rows = dict(self.burial.rows)
        return other

    def key(self) -> Any:
        """Equal for states from which the same can follow."""
        burial = self.burial
        return (
            len(self.to_submit), self.kills, self.discards, tuple(self.pipe), tuple(self.reports),
            self.floor, self.settled, self.discarding, tuple(self.state.items()),
            tuple(self.hand.items()), tuple(self.row.items()), tuple(self.ledger.unwritten),
            tuple(self.ledger.written.items()), self.ledger.next_serial,
            frozenset(self.outcomes), frozenset(self.dropped),
            None if burial is None
            else (burial.dead, tuple(burial.todo), burial.in_pipe, tuple(burial.rows.items())),
        )  # fmt: skip
