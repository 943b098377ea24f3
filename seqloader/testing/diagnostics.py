"""The rules of what an executor may tell of its work, as tests of those that do."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from seqloader.executors.diagnostics import Diagnostics, diagnostics_of
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
    from collections.abc import Callable
    from pathlib import Path

    from seqloader.executors.protocol import Executor

__all__ = ["DiagnosticsConformance"]


class DiagnosticsConformance(ExecutorTrial):
    """Tests of an executor's `Diagnostics`. Inherit, and override `make_executor`."""

    def test_it_tells_of_its_work_itself(self) -> None:
        executor = self.make()

        assert isinstance(executor, Diagnostics)
        assert diagnostics_of(executor) is executor

    def test_nothing_is_known_before_start_and_after_stop(self) -> None:
        executor = self.make()
        known = diagnostics_of(executor)
        first = Ticket(0, 0, 0)

        for _ in range(2):
            assert (known.held_batches(), known.held_bytes()) == (0, 0)
            assert (known.holder(first), known.busy(), known.edited()) == (None, [], [])
            within(DEADLINE_S, executor.start, Numbered(), self.seeding)
            open_all(answers_to(executor, [first]))
            within(DEADLINE_S, executor.stop, 5.0)

    def test_what_computing_took_is_counted_since_the_start_and_kept_after_the_stop(self) -> None:
        executor = self.make()
        known = diagnostics_of(executor)

        for _ in range(2):
            within(DEADLINE_S, executor.start, Numbered(), self.seeding)
            began = known.worked()
            open_all(answers_to(executor, tickets(20)))
            worked = within(DEADLINE_S, known.worked)  # in another thread
            within(DEADLINE_S, executor.stop, 5.0)
            after = known.worked()
            if began is None or worked is None or after is None:
                assert began is worked is after is None
            else:
                assert began == (0.0, 0.0)
                assert after.cpu_s >= worked.cpu_s >= 0.0

    def test_a_ticket_that_is_computed_has_a_holder_and_others_have_none(
        self, tmp_path: Path
    ) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=50)
        known = diagnostics_of(executor)

        found = [(ticket.index, known.holder(ticket)) for ticket in tickets(50)]
        holders = {index: holder for index, holder in found if holder is not None}
        slots = {slot for slot, _ in holders.values()}
        gate.open()

        assert set(holders) <= gate.arrived()
        assert len(slots) == len(holders)
        assert slots <= set(range(executor.workers))

    def test_workers_are_busy_until_they_have_nothing_to_do(self, tmp_path: Path) -> None:
        executor, gate = self.start_gated(tmp_path, submitted=1)
        known = diagnostics_of(executor)

        busy = known.busy()
        gate.open()
        open_all(collect(executor, 1))

        assert all(busy)
        assert len(busy) <= executor.workers
        assert known.edited() == []
        _await(executor, lambda: known.busy() == [])

    def test_what_the_consumer_refers_to_is_held_until_it_lets_go(self) -> None:
        executor = self.start(Numbered(size=1 << 17))
        known = diagnostics_of(executor)

        kept = open_all(answers_to(executor, tickets(3)))
        batches = known.held_batches()
        nbytes = within(DEADLINE_S, known.held_bytes)  # in another thread
        del kept
        gc.collect()

        assert (batches, nbytes) == (0, 0) or (batches == 3 and nbytes >= 3 << 20)
        _await(executor, lambda: known.held_bytes() == 0)


def _await(executor: Executor, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, all_stacks()
        executor.wait(0.01)  # it may learn of it only here
        assert list(executor.collect()) == []
