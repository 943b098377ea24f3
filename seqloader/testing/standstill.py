"""The rules of waiting and of ending: discard, reset, wake, stop, abandon, kill."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from seqloader.testing.deadline import (
    DEADLINE_S,
    all_stacks,
    answers_to,
    collect,
    open_all,
    tickets,
    within,
)
from seqloader.testing.sequences import Numbered
from seqloader.testing.trial import ExecutorTrial
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from pathlib import Path

    from seqloader.executors.protocol import Executor

__all__ = ["StandstillRules"]


class StandstillRules(ExecutorTrial):
    """What becomes of work, and of those who wait for it, when an executor is told to leave it."""

    # Discard and reset

    def test_after_discard_no_earlier_outcome_is_handed_out(self) -> None:
        executor = self.start(Numbered())
        for ticket in tickets(500):
            executor.submit(ticket)
        executor.wait(DEADLINE_S)

        within(DEADLINE_S, executor.discard)
        assert list(executor.collect()) == []
        outcomes = answers_to(executor, tickets(20, first=1_000))

        assert set(open_all(outcomes)) == set(range(1_000, 1_020))
        executor.wait(0.0)
        assert list(executor.collect()) == []

    def test_when_discard_returns_nothing_is_computed(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=50)

        opener = threading.Timer(0.05, gate.open)
        opener.start()
        within(DEADLINE_S, executor.discard)
        begun, finished = gate.arrived(), gate.left()
        opener.join()

        assert begun == finished
        assert list(executor.collect()) == []

    def test_reset_does_not_wait_and_forgets_what_was_submitted(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=50)

        within(DEADLINE_S, executor.reset)  # the gate is closed still
        gate.open()
        outcomes = answers_to(executor, tickets(20, first=1_000))

        assert set(open_all(outcomes)) == set(range(1_000, 1_020))
        within(DEADLINE_S, executor.discard)
        assert list(executor.collect()) == []

    def test_reset_and_discard_may_follow_each_other_in_any_order(self) -> None:
        executor = self.start(Numbered())

        for step in (executor.reset, executor.reset, executor.discard, executor.discard):
            for ticket in tickets(10):
                executor.submit(ticket)
            within(DEADLINE_S, step)

        assert set(open_all(answers_to(executor, [Ticket(0, 0, 77)]))) == {77}

    # Waiting

    def test_wait_returns_when_time_is_up(self) -> None:
        executor = self.start(Numbered())

        within(DEADLINE_S, executor.wait, 0.0)
        within(DEADLINE_S, executor.wait, 0.05)

        assert list(executor.collect()) == []

    def test_wake_makes_a_blocked_wait_return(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=1)
        waiting = threading.Thread(target=executor.wait, args=(None,), daemon=True)
        waiting.start()

        deadline = time.monotonic() + DEADLINE_S
        while waiting.is_alive() and time.monotonic() < deadline:
            executor.wake()  # again and again, since the other thread may not wait yet
            waiting.join(0.01)

        assert not waiting.is_alive(), all_stacks()
        assert gate.left() == set()  # it did not return because the batch was there
        gate.open()
        assert set(open_all(collect(executor, 1))) == {0}

    # Stopping

    def test_stop_is_idempotent_and_start_may_follow(self) -> None:
        executor = self.make()
        within(DEADLINE_S, executor.stop, 1.0)  # before any start

        for round_ in range(3):
            within(DEADLINE_S, executor.start, Numbered(scale=round_), self.seeding)
            batches = open_all(answers_to(executor, tickets(10, first=1)))
            executor.submit(Ticket(0, 10, 99))  # left behind, and must not come up again
            within(DEADLINE_S, executor.stop, 5.0)
            within(DEADLINE_S, executor.stop, 5.0)
            assert [batches[index][0] for index in range(1, 11)] == [
                round_ * index for index in range(1, 11)
            ]

    def test_stop_returns_in_time_whatever_is_computed(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=50)

        begun = time.monotonic()
        within(DEADLINE_S, executor.stop, 0.3)  # the gate is closed still
        took_s = time.monotonic() - begun

        gate.open()
        assert took_s < 5.0  # far below the gate's own patience; the rest is the machine's
        within(DEADLINE_S, executor.start, Numbered(), self.seeding)
        assert set(open_all(answers_to(executor, [Ticket(0, 0, 7)]))) == {7}

    def test_abandon_lets_go_without_waiting(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=50)

        within(DEADLINE_S, executor.abandon)  # the gate is closed still
        within(DEADLINE_S, executor.abandon)
        gate.open()

        within(DEADLINE_S, executor.stop, 1.0)

    def test_kill_from_another_thread_ends_a_wait_and_then_stop_returns(
        self, tmp_path: Path
    ) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=50)
        waiting = threading.Thread(target=_wait_once, args=(executor,), daemon=True)
        waiting.start()

        within(DEADLINE_S, executor.kill)
        waiting.join(DEADLINE_S)
        still_waiting = waiting.is_alive()
        within(DEADLINE_S, executor.stop, 0.3)
        gate.open()

        assert not still_waiting, all_stacks()


def _wait_once(executor: Executor) -> None:
    try:
        executor.wait(None)
    except Exception:
        pass  # after kill() an executor may say so; it must only not go on waiting
