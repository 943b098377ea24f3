"""What every test of an executor needs: one made, started, gated, and stopped after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.randomness.seeding import Seeding
from seqloader.testing.deadline import DEADLINE_S, tickets, within
from seqloader.testing.gate import Gate
from seqloader.testing.sequences import Numbered

if TYPE_CHECKING:
    from pathlib import Path

    from seqloader.executors.protocol import Executor

__all__ = ["ExecutorTrial"]


class ExecutorTrial:
    """Makes the executor under test, and stops what a test started."""

    seeding: Seeding = Seeding(seed=20, reseed_globals=True)

    def make_executor(self) -> Executor:
        """Return a new executor, not started. One that computes at once more than one is best."""
        raise NotImplementedError("override make_executor()")

    def setup_method(self) -> None:
        """Forget the executors of the test before."""
        self._made: list[Executor] = []

    def teardown_method(self) -> None:
        """Stop what the test started."""
        for executor in self._made:
            within(DEADLINE_S, executor.stop, 5.0)

    def make(self) -> Executor:
        """As `make_executor`, and stopped after the test."""
        executor = self.make_executor()
        self._made.append(executor)
        return executor

    def start(self, sequence: Any, seeding: Seeding | None = None) -> Executor:
        """Return a started executor that is stopped after the test."""
        executor = self.make()
        within(DEADLINE_S, executor.start, sequence, seeding or self.seeding)
        return executor

    def start_gated(self, folder: Path, *, submitted: int) -> tuple[Executor, Gate]:
        """Return an executor that computes as many as it can, and the gate that holds them."""
        gate = Gate(folder)
        executor = self.start(Numbered(gate=gate))
        if executor.workers == 0:
            _skip("an executor that computes in wait() computes nothing between calls")
        for ticket in tickets(submitted):
            executor.submit(ticket)
        gate.wait_arrived(min(submitted, executor.workers))
        return executor, gate


def _skip(reason: str) -> None:
    # Imported late, because worker processes import this module for its Sequences.
    import pytest

    pytest.skip(reason)
