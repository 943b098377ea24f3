"""What each worker does now: the tickets that they have noted in the table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from seqloader.executors.process.consumer.ledger import EMPTY
from seqloader.executors.process.wire.table import ROW_WORDS, SINCE, TAKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqloader.executors.process.consumer.crew import Crew
    from seqloader.executors.process.consumer.ledger import Ledger
    from seqloader.executors.process.consumer.watchdog import Watchdog
    from seqloader.executors.process.consumer.worker import WorkerProcess
    from seqloader.executors.process.wire.table import Table
    from seqloader.tickets import Ticket

__all__ = ["busy", "holder", "overdue"]


def holder(ticket: Ticket, crew: Crew, table: Table, ledger: Ledger) -> tuple[int, int] | None:
    """(slot, process id) of the worker that computes a ticket."""
    for worker, noted in _noted(crew, table, ledger):
        if noted == ticket:
            return worker.slot, worker.pid
    return None


def busy(crew: Crew, table: Table, ledger: Ledger) -> list[str]:
    """Which workers compute something or are not ready yet, in words."""
    found = []
    for worker, ticket in _noted(crew, table, ledger):
        who = f"worker {worker.slot} (pid {worker.pid})"
        if not worker.ready:
            found.append(f"{who} is still starting")
        elif ticket is not None and ticket is not EMPTY:
            found.append(f"{who} computes batch {ticket.index} (epoch {ticket.epoch})")
    return found


def overdue(watchdog: Watchdog, crew: Crew, table: Table, ledger: Ledger) -> list[int]:
    """Numbers of the workers that are past their time, and not known to be."""
    words = table.words
    now_ns = time.monotonic_ns()
    living = [worker for worker in crew.workers.values() if not worker.overdue]
    at_work = [
        (w.number, words[w.number * ROW_WORDS + TAKEN], words[w.number * ROW_WORDS + SINCE])
        for w in living
        if w.ready
    ]
    starting = [(w.number, w.born_ns) for w in living if not w.ready]
    return [
        *watchdog.overdue(at_work, set(ledger.written), now_ns),
        *watchdog.never_ready(starting, now_ns),
    ]


def _noted(
    crew: Crew, table: Table, ledger: Ledger
) -> Iterator[tuple[WorkerProcess, Ticket | None]]:
    for worker in crew.workers.values():
        serial = table.words[worker.number * ROW_WORDS + TAKEN]
        yield worker, ledger.written.get(serial)
