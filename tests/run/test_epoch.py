"""An epoch over an executor that answers in any order, fails, dies and doubles."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run.stand_ins import options

from seqloader.errors import WorkerLostError, WorkerLostWarning
from seqloader.order import Plan
from seqloader.run.epoch import Epoch
from seqloader.stats import Counters
from seqloader.tickets import Death, Lost, Raised, Ticket

DEATH = Death(0, 4242, -9, 1 << 30)


class Batch:
    """The outcome `Computed`."""

    slot, nbytes, busy_s = 0, 8, 0.001

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.ends: list[str] = []

    def open(self) -> Any:
        self.ends.append("opened")
        return self.ticket.index

    def discard(self) -> None:
        self.ends.append("discarded")


class Script:
    """An executor whose answers are chosen: by ticket and try, in an order of its own."""

    def __init__(self, choice: random.Random, fates: dict[int, list[str]]) -> None:
        self._choice = choice
        self._fates = {index: deque(fates) for index, fates in fates.items()}
        self.queue: list[Ticket] = []
        self.batches: list[Batch] = []
        self.most = 0
        self.doubles = False

    def submit(self, ticket: Ticket) -> None:
        self.queue.append(ticket)
        self.most = max(self.most, len(self.queue))

    def reset(self) -> None:
        self.queue.clear()

    def alarmed(self) -> bool:
        return False

    def collect(self) -> list[Any]:
        self._choice.shuffle(self.queue)
        count = self._choice.randint(0, len(self.queue))
        answered, self.queue = self.queue[:count], self.queue[count:]
        outcomes = [outcome for ticket in answered for outcome in self._answers(ticket)]
        if self._choice.random() < 0.1:
            outcomes.append(DEATH)
        return outcomes

    def _answers(self, ticket: Ticket) -> list[Any]:
        fates = self._fates.get(ticket.index)
        fate = fates.popleft() if fates else "computed"
        if fate == "raised":
            return [Raised(ticket, 0, ValueError(f"batch {ticket.index}"))]
        if fate == "lost":
            return [Lost(ticket, DEATH)]
        answers = [Batch(ticket)]
        if self.doubles and self._choice.random() < 0.3:
            answers.append(Batch(ticket))
        self.batches += answers
        return answers


def deliver(epoch: Epoch) -> list[Any]:
    """What the enqueuer does of it: batches, and errors in their place."""
    got: list[Any] = []
    while not epoch.window.finished:
        epoch.receive()
        epoch.fill()
        while epoch.window.due in epoch.window.arrived:
            answer = epoch.window.hand_over()
            failed = isinstance(answer, (Raised, Lost))
            got.append(epoch.error_of(answer) if failed else epoch.open(answer))
    return got


PLANS = st.builds(Plan, st.integers(0, 30), st.booleans(), st.integers(0, 2**64), st.integers(0, 9))
FATES = st.dictionaries(
    st.integers(0, 29), st.lists(st.sampled_from(["raised", "lost"]), max_size=6), max_size=12
)


@settings(deadline=None, max_examples=150)
@given(
    plan=PLANS,
    fates=FATES,
    limit=st.integers(1, 9),
    retries=st.integers(0, 3),
    crash_retries=st.integers(0, 3),
    chance=st.integers(0, 2**32),
    doubles=st.booleans(),
)
def test_every_index_is_delivered_once_in_order_or_replaced_by_its_error(
    plan, fates, limit, retries, crash_retries, chance, doubles
):
    script = Script(random.Random(chance), fates)
    script.doubles = doubles
    chosen = options(None)._replace(retries=retries, crash_retries=crash_retries)
    epoch = Epoch(plan, script, chosen, Counters(), limit=limit)

    got = deliver(epoch)

    expected = [
        end_of(fates.get(index, []), retries, crash_retries) or index
        for index in plan.indices(0, plan.count)
    ]
    assert [type(one) if isinstance(one, Exception) else one for one in got] == expected
    assert script.most <= limit
    assert all(len(batch.ends) == 1 for batch in script.batches), "a block leaks or is freed twice"


def end_of(fates: list[str], retries: int, crash_retries: int) -> type[Exception] | None:
    """The error that a batch of these fates ends in; None: it is computed in the end."""
    left = {"raised": retries, "lost": crash_retries}
    for fate in fates:
        left[fate] -= 1
        if left[fate] < 0:
            return ValueError if fate == "raised" else WorkerLostError
    return None


@settings(deadline=None, max_examples=100)
@given(
    plan=PLANS,
    limit=st.integers(1, 9),
    chance=st.integers(0, 2**32),
    tears=st.sets(st.integers(0, 40), max_size=5),
)
def test_restarts_at_any_time_lose_and_double_nothing(plan, limit, chance, tears):
    script = Script(random.Random(chance), {})
    epoch = Epoch(plan, script, options(None), Counters(), limit=limit)
    got: list[int] = []

    for turn in range(10_000):
        if turn in tears:  # as the enqueuer mends a torn step
            script.reset()
            epoch.restart()
        epoch.fill()
        epoch.receive()
        if epoch.window.due in epoch.window.arrived:
            position = epoch.window.due
            got.append(epoch.open(epoch.window.hand_over()))
            epoch.handovers.skip(position)
        if epoch.window.finished:
            break

    assert got == plan.indices(0, plan.count)


def test_an_answer_of_another_epoch_is_given_back_unopened():
    script = Script(random.Random(0), {})
    epoch = Epoch(Plan(3, epoch=1), script, options(None), Counters(), limit=3)
    epoch.fill()
    stale = Batch(Ticket(0, 0, 0))
    script.collect = lambda: [stale]  # type: ignore[method-assign]

    epoch.receive()

    assert stale.ends == ["discarded"]
    assert not epoch.window.arrived


def test_a_death_without_a_ticket_is_counted_and_warned_about():
    script, counters = Script(random.Random(0), {}), Counters()
    epoch = Epoch(Plan(3), script, options(None), counters, limit=3)
    script.collect = lambda: [DEATH]  # type: ignore[method-assign]

    epoch.receive()

    assert counters.respawns == 1
    assert [type(warning) for warning in epoch.warnings] == [WorkerLostWarning]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_is_no_exception_is_not_tried_again(error):
    script, counters = Script(random.Random(0), {}), Counters()
    epoch = Epoch(Plan(3), script, options(None)._replace(retries=5), counters, limit=3)
    epoch.fill()
    script.collect = lambda: [Raised(Ticket(0, 0, 0), 0, error)]  # type: ignore[method-assign]

    epoch.receive()

    assert epoch.window.arrived[0].error is error
    assert counters.retried == 0
