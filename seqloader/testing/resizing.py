"""Rule R7, as tests of executors whose number of workers can be changed while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloader.executors.protocol import Resizable
from seqloader.testing.deadline import DEADLINE_S, collect, open_all, tickets, within
from seqloader.testing.gate import Gate
from seqloader.testing.sequences import Numbered
from seqloader.testing.trial import ExecutorTrial
from seqloader.tickets import Raised

if TYPE_CHECKING:
    from pathlib import Path

    from seqloader.executors.protocol import Executor

__all__ = ["ResizableConformance"]

AHEAD = 50


class ResizableConformance(ExecutorTrial):
    """Tests of a `Resizable` executor. Inherit, and override `make_executor`."""

    def test_it_can_be_resized(self) -> None:
        assert isinstance(self.make(), Resizable)

    def test_before_a_start_it_says_how_many_that_starts(self, tmp_path: Path) -> None:
        executor, gate = self.make(), Gate(tmp_path)
        _resize(executor, 3)
        within(DEADLINE_S, executor.start, Numbered(gate=gate), self.seeding)

        for ticket in tickets(AHEAD):
            executor.submit(ticket)

        gate.wait_arrived(3)
        assert executor.workers == 3
        _open_gate(executor, gate, AHEAD)

    def test_more_workers_compute_beside_those_at_work(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=AHEAD)
        more = executor.workers + 2

        _resize(executor, more)

        gate.wait_arrived(more)
        _open_gate(executor, gate, AHEAD)

    def test_what_is_computed_by_those_too_many_is_answered(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=AHEAD)
        _resize(executor, executor.workers + 2)
        gate.wait_arrived(executor.workers)

        _resize(executor, 1)

        assert gate.left() == set()  # nobody has waited for them
        _open_gate(executor, gate, AHEAD)

    def test_a_pool_that_is_resized_all_the_time_answers_each_ticket_once(self) -> None:
        executor = self.start(Numbered())

        outcomes = []
        for first in range(0, 200, 20):
            for ticket in tickets(20, first=first):
                executor.submit(ticket)
            _resize(executor, 1 + first // 20 % 4)
            outcomes += collect(executor, 20)

        assert sorted(outcome.ticket.index for outcome in outcomes) == list(range(200))
        assert all(outcome.ticket.attempt == 0 for outcome in outcomes)
        assert not any(isinstance(outcome, Raised) for outcome in outcomes)
        open_all(outcomes)

    def test_after_a_reset_there_are_as_many(self, tmp_path: Path) -> None:
        first, again = tmp_path / "first", Gate(tmp_path / "again")
        for folder in (first, again.folder):
            folder.mkdir()
        executor, gate = self.start_gated(first, submitted=AHEAD)
        _resize(executor, 3)
        gate.open()
        within(DEADLINE_S, executor.reset)

        within(DEADLINE_S, executor.discard)
        within(DEADLINE_S, lambda: executor.load(Numbered(gate=again), in_place=False))
        for ticket in tickets(AHEAD):
            executor.submit(ticket)

        again.wait_arrived(3)
        _open_gate(executor, again, AHEAD)

    def test_what_was_discarded_after_a_resize_is_not_answered(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=AHEAD)
        _resize(executor, 1)
        gate.open()

        within(DEADLINE_S, executor.discard)
        for ticket in tickets(5, first=1000):
            executor.submit(ticket)

        indices = {outcome.ticket.index for outcome in collect(executor, 5)}
        assert indices == set(range(1000, 1005))


def _resize(executor: Executor, workers: int) -> None:
    assert isinstance(executor, Resizable)
    resize = executor.resize
    within(DEADLINE_S, lambda: resize(workers, AHEAD))


def _open_gate(executor: Executor, gate: Gate, count: int) -> None:
    """Open the gate: every ticket is answered, once."""
    gate.open()
    indices = [outcome.ticket.index for outcome in collect(executor, count)]
    assert sorted(indices) == list(range(count))
    assert len(gate.left()) == count
