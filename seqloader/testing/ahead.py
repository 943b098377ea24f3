"""Rule R9, as tests of executors that may be given tickets of coming epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.executors.protocol import RunsAhead, runs_ahead
from seqloader.memory.shared_arrays import share
from seqloader.testing.deadline import DEADLINE_S, answers_to, collect, open_all, tickets, within
from seqloader.testing.gate import Gate
from seqloader.testing.sequences import Contextual, Numbered
from seqloader.testing.trial import ExecutorTrial

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RunsAheadConformance"]

BATCHES = 6
"""More than the executor under test computes at once: some are begun later."""


class RunsAheadConformance(ExecutorTrial):
    """Tests of an executor that `RunsAhead`. Inherit, and override `make_executor`."""

    def test_it_takes_tickets_of_coming_epochs(self) -> None:
        executor = self.start(Numbered())

        assert isinstance(executor, RunsAhead)
        assert within(DEADLINE_S, executor.runs_ahead)

    def test_each_ticket_is_answered_for_its_own_epoch(self) -> None:
        executor = self.start(Contextual())
        given = [
            ticket for epoch in range(3) for ticket in tickets(4, epoch=epoch, first=4 * epoch)
        ]

        answered = answers_to(executor, given)

        places = {batch[0] for batch in open_all(answered).values()}
        assert places == {(one.epoch, one.position, one.index) for one in given}

    def test_nothing_that_becomes_of_the_sequence_reaches_a_ticket(self, tmp_path: Path) -> None:
        gate = Gate(tmp_path)
        sequence = Numbered(gate=gate)
        executor = self.start(sequence)
        assert runs_ahead(executor)
        for ticket in tickets(BATCHES, epoch=1):
            executor.submit(ticket)
        gate.wait_arrived(1)

        sequence.scale = 7
        sequence.table[:] = 1000
        gate.open()

        _are_multiples_of(1, collect(executor, BATCHES))

    def test_what_is_loaded_next_reaches_those_that_follow(self) -> None:
        sequence = Numbered()
        executor = self.start(sequence)
        assert runs_ahead(executor)
        _are_multiples_of(1, answers_to(executor, tickets(BATCHES, epoch=1)))

        sequence.scale = 7
        within(DEADLINE_S, executor.discard)
        within(DEADLINE_S, lambda: executor.load(sequence, in_place=False))

        _are_multiples_of(7, answers_to(executor, tickets(BATCHES, epoch=2)))

    def test_it_declines_where_a_change_in_shared_memory_would_be_seen(
        self, tmp_path: Path
    ) -> None:
        gate = Gate(tmp_path)
        sequence = Numbered(gate=gate)
        sequence.table = share(np.zeros(4, np.int64))
        executor = self.start(sequence)
        if not runs_ahead(executor):
            return
        for ticket in tickets(BATCHES, epoch=1):
            executor.submit(ticket)
        gate.wait_arrived(1)

        sequence.table[:] = 1000
        gate.open()

        _are_multiples_of(1, collect(executor, BATCHES))


def _are_multiples_of(scale: int, outcomes: Any) -> None:
    batches = open_all(outcomes)
    assert {index: batch.tolist() for index, batch in batches.items()} == {
        index: [scale * index] * 4 for index in range(BATCHES)
    }
