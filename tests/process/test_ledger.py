"""The ledger against a model of the pool in which any worker may die between any two steps."""

from __future__ import annotations

import itertools
import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pool_model import FACTS, PoolModel

from seqloader.executors.process.consumer.ledger import Ledger
from seqloader.tickets import Ticket

EXAMPLES: Final = int(os.environ.get("SEQLOADER_EXAMPLES", "150"))


def explore(start: PoolModel, limit: int = 400_000) -> int:
    """Go through every state that can be reached from `start`; the number of states."""
    seen, ahead = {start.key()}, [start]
    while ahead:
        model = ahead.pop()
        actions = model.actions()
        if not actions:
            model.check_end()
        for action in actions:
            after = model.copy()
            after.do(action)
            key = after.key()
            if key not in seen:
                assert len(seen) < limit
                seen.add(key)
                ahead.append(after)
    return len(seen)


@pytest.mark.parametrize(("workers", "tickets", "kills"), [(1, 2, 2), (2, 2, 1)], ids=str)
def test_no_ticket_is_lost_in_any_interleaving_of_a_small_pool(workers, tickets, kills):
    states = explore(PoolModel(workers=workers, tickets=tickets, kills=kills))

    assert states > 500


def test_nothing_below_the_floor_is_computed_in_any_interleaving_of_a_small_pool():
    states = explore(PoolModel(workers=2, tickets=2, kills=1, discards=1))

    assert states > 5000


@pytest.mark.soak
@pytest.mark.limit(3600)
@pytest.mark.parametrize(
    ("workers", "tickets", "kills", "discards"), [(2, 3, 1, 0), (2, 2, 2, 0), (3, 2, 1, 1)]
)
def test_no_ticket_is_lost_in_any_interleaving_of_a_larger_pool(workers, tickets, kills, discards):
    pool = PoolModel(workers=workers, tickets=tickets, kills=kills, discards=discards)

    assert explore(pool, limit=10**8) > 50_000


@pytest.mark.parametrize(
    "order",
    [("pipe", "deaths", "rows", "reports"), ("reports", "deaths", "pipe", "rows")],
    ids="-".join,
)
def test_a_fact_gathered_before_the_deaths_loses_or_blames_wrongly(order):
    # Shows that the model can see what rule R3 is there for.
    with pytest.raises((AssertionError, IndexError)):
        explore(PoolModel(workers=2, tickets=2, kills=2, order=order))


@pytest.mark.parametrize("order", list(itertools.permutations(FACTS[1:])), ids="-".join)
def test_facts_gathered_in_any_order_after_the_deaths_lose_no_ticket(order):
    explore(PoolModel(workers=2, tickets=2, kills=1, order=(FACTS[0], *order)))


class Pool(RuleBasedStateMachine):
    """Larger pools, many deaths and discards, interleaved by hypothesis."""

    @initialize(workers=st.integers(1, 5), tickets=st.integers(1, 20), kills=st.integers(0, 8))
    def start(self, workers: int, tickets: int, kills: int) -> None:
        self.model = PoolModel(workers=workers, tickets=tickets, kills=kills, discards=2)

    # Preconditions have names: some versions of hypothesis parse the file of a lambda anew, for its
    # text, each time that they ask it.
    def can_step(self) -> bool:
        return bool(self.model.actions())

    def can_kill(self) -> bool:
        return self.model.kills > 0

    def can_fill(self) -> bool:
        return self.model.burial is None and not self.model.discarding

    @precondition(can_step)
    @rule(choice=st.integers(0, 1 << 16), times=st.integers(1, 4))
    def step(self, choice: int, times: int) -> None:
        for _ in range(times):
            actions = self.model.actions()
            if actions:
                self.model.do(actions[choice % len(actions)])

    @precondition(can_kill)
    @rule(choice=st.integers(0, 1 << 16))
    def kill(self, choice: int) -> None:
        kills = [action for action in self.model.actions() if action.who == "kill"]
        if kills:
            self.model.do(kills[choice % len(kills)])

    @precondition(can_fill)
    @rule(count=st.integers(1, 6))
    def fill(self, count: int) -> None:
        for _ in range(count):
            for who in ("submit", "write"):
                self.model.do_if_possible(who)

    @invariant()
    def answered_once(self) -> None:
        if hasattr(self, "model"):
            assert all(count == 1 for count in self.model.outcomes.values())

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.run_dry()
            self.model.check_end()


TestPool = Pool.TestCase
TestPool.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# What the facts mean, one at a time


def ledger_with(*tickets: Ticket) -> Ledger:
    ledger = Ledger()
    for ticket in tickets:
        ledger.write(ticket)
    return ledger


A, B, C = (Ticket(0, position, position) for position in range(3))


def test_serials_rise_by_one_and_begin_at_one():
    assert [Ledger().write(A), *map(ledger_with(A).write, (B, C))] == [1, 2, 3]


def test_the_last_tickets_written_are_those_still_in_the_pipe():
    verdict = ledger_with(A, B, C).bury(in_pipe=2, held=(), taken={7: 0})

    assert verdict == ({}, [A])


def test_a_dead_worker_is_blamed_for_the_ticket_it_had_noted():
    verdict = ledger_with(A, B).bury(in_pipe=0, held={2}, taken={7: 1})

    assert verdict == ({7: A}, [])


def test_a_ticket_that_was_reported_is_nobodys_fault():
    ledger = ledger_with(A, B)
    ledger.answer(1)

    verdict = ledger.bury(in_pipe=1, held=(), taken={7: 1})

    assert verdict == ({}, [])


def test_a_ticket_called_lost_is_unknown_when_it_is_answered_after_all():
    ledger = ledger_with(A)
    ledger.bury(in_pipe=0, held=(), taken={7: 0})

    assert ledger.answer(1) is None


@given(st.integers(0, 6), st.sets(st.integers(1, 6)), st.sets(st.integers(1, 6)), st.data())
def test_burying_leaves_what_is_in_the_pipe_and_what_the_living_hold(
    in_pipe: int, held: set[int], answered: set[int], data: Any
) -> None:
    tickets = [Ticket(0, n, n) for n in range(6)]
    ledger = ledger_with(*tickets)
    for serial in answered:
        ledger.answer(serial)
    noted = data.draw(st.sets(st.integers(1, 6)))

    verdict = ledger.bury(
        in_pipe=in_pipe, held=held - noted, taken={10 + serial: serial for serial in noted}
    )

    ledger.check()
    lost = {*verdict.blamed.values(), *verdict.again}
    kept = set(ledger.written.values())
    assert not lost & kept
    assert lost | kept == {tickets[s - 1] for s in range(1, 7) if s not in answered}
    assert {number - 10 for number in verdict.blamed} <= noted
