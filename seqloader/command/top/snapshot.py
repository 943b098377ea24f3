"""What the words of a board and a table say at one instant. Words in, facts out.

The writers are not waited for, and words are stored one by one: so a reader may see those of two
instants side by side. Where that would be wrong, as with the ticket of a worker, it reads again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from seqloader.executors.process.wire import table as row_of
from seqloader.executors.process.wire.table import ROW_WORDS, ROWS
from seqloader.run import board as board_of
from seqloader.run.board import DOINGS, TEXT_AT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqloader.command.top.finding import Found, Mapped

__all__ = ["Consumer", "Snapshot", "Worker", "snapshot_of", "workers_in"]

EMPTY_ROWS: Final = 64
"""So many rows in a row without a process are the end: who died in its start has left one empty."""
TRIES: Final = 8


@dataclass(frozen=True)
class Worker:
    """A row of the table."""

    number: int
    slot: int
    pid: int
    serves: bool
    leaves: bool
    serial: int
    """Of the ticket that it works on; 0: none."""
    since_ns: int
    epoch: int
    position: int
    index: int
    answered: int
    busy_ns: int


@dataclass(frozen=True)
class Consumer:
    """The words of the board."""

    sequence: str
    started_ns: int
    workers: int
    queue: int
    epoch: int
    count: int | None
    """Batches in the epoch; None: endless."""
    position: int
    delivered: int
    """Of this epoch, those that were skipped count."""
    waited_ns: int
    died: int
    doing: str
    since_ns: int


@dataclass(frozen=True)
class Snapshot:
    """An enqueuer at one instant."""

    pid: int
    at_ns: int
    consumer: Consumer
    workers: tuple[Worker, ...]
    """All that there ever were in its table."""
    has_processes: bool

    @property
    def key(self) -> tuple[int, int]:
        """Tells the sessions of all processes apart."""
        return self.pid, self.consumer.started_ns


def snapshot_of(found: Found, now_ns: int) -> Snapshot:
    """What is so now."""
    table = found.table
    return Snapshot(
        pid=found.pid,
        at_ns=now_ns,
        consumer=_consumer(found.board),
        workers=() if table is None else tuple(workers_in(table.words)),
        has_processes=table is not None,
    )


def _consumer(board: Mapped) -> Consumer:
    words, waits_since_s = board.words, board.seconds[board_of.WAITS_SINCE]
    position, place = words[board_of.POSITION], words[board_of.DOING]
    doing, since_ns = DOINGS[place] if place < len(DOINGS) else "?", words[board_of.SINCE]
    if waits_since_s:
        doing, since_ns = "wait", int(waits_since_s * 1e9)
    count = words[board_of.COUNT]
    return Consumer(
        sequence=board.text(TEXT_AT, board_of.TEXT_BYTES),
        started_ns=words[board_of.STARTED],
        workers=words[board_of.WORKERS],
        queue=words[board_of.QUEUE],
        epoch=words[board_of.EPOCH],
        count=count - 1 if count else None,
        position=position,
        delivered=max(0, words[board_of.BEFORE] + position - words[board_of.FIRST]),
        waited_ns=int(board.seconds[board_of.WAITED] * 1e9),
        died=words[board_of.DIED],
        doing=doing,
        since_ns=since_ns,
    )


def workers_in(words: Sequence[int]) -> list[Worker]:
    """Of a table: everybody who has come so far as to say so."""
    found: list[Worker] = []
    empty = 0
    for number in range(1, min(ROWS, len(words) // ROW_WORDS - 1) + 1):
        if words[number * ROW_WORDS + row_of.PID]:
            empty = 0
            found.append(_worker(words, number))
        elif (empty := empty + 1) >= EMPTY_ROWS:
            break
    return found


def _worker(words: Sequence[int], number: int) -> Worker:
    first = number * ROW_WORDS
    serial = words[first + row_of.TAKEN]
    for _ in range(TRIES):
        # What belongs to the ticket was stored before its serial, and 0 after it.
        ticket = [words[first + n] for n in (row_of.EPOCH, row_of.POSITION, row_of.INDEX)]
        since_ns = words[first + row_of.SINCE]
        again = words[first + row_of.TAKEN]
        if again == serial:
            break
        serial = again
    return Worker(
        number=number,
        slot=words[first + row_of.SLOT],
        pid=words[first + row_of.PID],
        serves=bool(words[first + row_of.SERVES]),
        leaves=bool(words[first + row_of.LEAVE]),
        serial=serial,
        since_ns=since_ns,
        epoch=ticket[0],
        position=ticket[1],
        index=ticket[2],
        answered=words[first + row_of.ANSWERED],
        busy_ns=words[first + row_of.BUSY],
    )
