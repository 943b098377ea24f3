"""Who works on what, since when, and whether that is too long.

Pure, but for what the workers note in the table meanwhile: clock readings in, numbers out.

A worker is overdue when the ticket it has noted is older than `timeout_s`. One that is stopped
(SIGSTOP) between tickets has noted none, but then a ticket that nobody has noted gets old:
when that has lasted `timeout_s`, every ready worker that does nothing is overdue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from seqloader.executors.process.consumer.ledger import EMPTY
from seqloader.executors.process.wire.table import (
    ACKNOWLEDGED,
    CPU,
    ENCODED,
    ROW_WORDS,
    SINCE,
    TAKEN,
)
from seqloader.tickets import Worked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from seqloader.executors.process.consumer.ledger import Ledger
    from seqloader.executors.process.consumer.worker import WorkerProcess
    from seqloader.tickets import Ticket

__all__ = ["Occupations"]

START_LIMIT_S: Final = 120.0
"""A worker that is not ready after this, or after ten times `timeout_s` if that is longer, hangs:
loading a Sequence and `worker_init` may take far longer than a batch, but not for ever."""


class Occupations:
    """What the workers do, by their rows of the table.

    Args:
        workers: those that live, by number.
        ledger: of the tickets.
        timeout_s: seconds one ticket may take; None: no limit.
    """

    def __init__(
        self, workers: Mapping[int, WorkerProcess], ledger: Ledger, timeout_s: float | None
    ) -> None:
        self.words: Sequence[int] = ()
        """Of the table; there are no workers while there is none."""
        self._workers = workers
        self._ledger = ledger
        self._timeout_s = timeout_s
        self._neglected: int | None = None
        self._neglected_since_ns = 0

    def noted(self, numbers: Iterable[int]) -> dict[int, int]:
        """For each of these workers, the serial of the ticket it has noted; 0: none."""
        return {number: self.words[number * ROW_WORDS + TAKEN] for number in numbers}

    def anyone_works(self) -> bool:
        """Whether some worker has a ticket noted, also one that the ledger has given up."""
        return any(self.noted(self._workers).values())

    def holder(self, ticket: Ticket) -> tuple[int, int] | None:
        """(slot, process id) of the worker that computes a ticket."""
        for number, serial in self.noted(self._workers).items():
            if self._ledger.written.get(serial) == ticket:
                return self._workers[number].slot, self._workers[number].pid
        return None

    def busy(self) -> list[str]:
        """Which workers compute something or are not ready yet, in words."""
        found = []
        for number, serial in self.noted(self._workers).items():
            worker, ticket = self._workers[number], self._ledger.written.get(serial)
            who = f"worker {worker.slot} (pid {worker.pid})"
            if not worker.ready:
                found.append(f"{who} is still starting")
            elif ticket is not None and ticket is not EMPTY:
                found.append(f"{who} computes batch {ticket.index} (epoch {ticket.epoch})")
        return found

    def acknowledged(self) -> list[int]:
        """For each worker, the oldest state it may still have mapped."""
        return [
            max(self.words[number * ROW_WORDS + ACKNOWLEDGED], worker.version)
            for number, worker in self._workers.items()
        ]

    def worked(self, rows: int) -> Worked:
        """What computing has taken the workers of the first rows, those that are dead included."""
        words = self.words
        cpu_ns = encoded_ns = 0
        for row in range(ROW_WORDS, (rows + 1) * ROW_WORDS, ROW_WORDS) if words else ():
            cpu_ns += words[row + CPU]
            encoded_ns += words[row + ENCODED]
        return Worked(cpu_ns * 1e-9, encoded_ns * 1e-9)

    # --- time limits ------------------------------------------------------------------------

    def patience_s(self, timeout_s: float | None) -> float | None:
        """How long a wait may last before `overdue` must be asked again."""
        if self._timeout_s is None:
            return timeout_s
        # A ticket may be taken at any time during the wait, so the limit itself is no step.
        step_s = max(0.01, min(1.0, self._timeout_s / 8))
        return step_s if timeout_s is None else min(step_s, timeout_s)

    def overdue(self, now_ns: int) -> list[int]:
        """Numbers of the workers to kill, at a time on the workers' clock; each is named once."""
        if self._timeout_s is None:
            return []
        limit_ns = int(self._timeout_s * 1e9)
        start_limit_ns = int(max(10 * self._timeout_s, START_LIMIT_S) * 1e9)
        living = {n: worker for n, worker in self._workers.items() if not worker.overdue}
        noted = self.noted(n for n, worker in living.items() if worker.ready)
        late = [n for n, w in living.items() if not w.ready and now_ns - w.born_ns > start_limit_ns]
        late += [
            number
            for number, serial in noted.items()
            if serial and now_ns - self.words[number * ROW_WORDS + SINCE] > limit_ns
        ]
        idle = [number for number, serial in noted.items() if not serial]
        if self._neglect_ns(idle, set(noted.values()), now_ns) > limit_ns:
            self._neglected = None  # their successors have the same time
            late += idle
        return late

    def _neglect_ns(self, idle: list[int], noted: set[int], now_ns: int) -> int:
        """For how long the oldest ticket has been taken by nobody although somebody is idle."""
        written = self._ledger.written
        neglected = min((serial for serial in written if serial not in noted), default=None)
        if neglected is None or not idle or neglected != self._neglected:
            self._neglected = neglected if idle else None
            self._neglected_since_ns = now_ns
        return now_ns - self._neglected_since_ns
