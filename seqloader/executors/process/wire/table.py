"""The table: words of shared memory in which every worker says what it has taken.

One header row, then one row per worker *process*. A row is never used again by a successor, so
what a dead worker left in its row stays true. Every word is aligned, has eight bytes and one
writer; reading and storing one is a single access.

    header   FLOOR         consumer   tickets with a smaller serial are thrown away
             FIRST_VERSION consumer   the state that workers load which were started before there
             FIRST_OFFSET  consumer   was one, and where its manifest lies; 0: there is none
             OWNER         consumer   the executor, by a number that no other has meanwhile
    row      TAKEN         worker     serial of the ticket it works on; 0: none
             SINCE         worker     when it took it, CLOCK_MONOTONIC in ns; stored before TAKEN,
             EPOCH         worker     as are the three numbers of that ticket
             POSITION      worker
             INDEX         worker
             ACKNOWLEDGED  worker     it holds no mapping of a state older than this version
             SERVES        worker     1: it takes tickets, or is about to
             LEAVE         consumer   1: it is to leave after what it works on
             ANSWERED      worker     how many tickets it has answered with a batch or an exception
             BUSY          worker     ns that it has spent on them
             SLOT          worker     its slot
             PID           worker     its process id, stored last when it begins; 0: not there yet
             CPU           worker     CPU time of the tickets it has computed, in ns
             ENCODED       worker     time it has spent on writing their batches, in ns
             PROCESS       worker     its process's number, where a zygote has borne it; stored
                                      before it leaves the zygote's group (so does the zygote)

What a worker's row says beside TAKEN and SINCE is for whoever looks on from outside: see
seqloader/command/top.
"""

from __future__ import annotations

import mmap
from typing import Final

__all__ = [
    "ACKNOWLEDGED",
    "ANSWERED",
    "BUSY",
    "CPU",
    "ENCODED",
    "EPOCH",
    "FIRST_OFFSET",
    "FIRST_VERSION",
    "FLOOR",
    "INDEX",
    "LEAVE",
    "OWNER",
    "PID",
    "POSITION",
    "PROCESS",
    "ROWS",
    "ROW_WORDS",
    "SERVES",
    "SINCE",
    "SLOT",
    "TABLE_BYTES",
    "TAKEN",
    "Table",
    "place",
]

ROW_WORDS: Final = 16
"""Two cache lines a row, so that no two workers write to the same one."""
ROWS: Final = 65_535
"""Worker processes a table has room for, replacements included. Rows never used cost nothing."""
TABLE_BYTES: Final = (ROWS + 1) * ROW_WORDS * 8

FLOOR: Final = 0
FIRST_VERSION: Final = 1
FIRST_OFFSET: Final = 2
OWNER: Final = 3
TAKEN: Final = 0
SINCE: Final = 1
ACKNOWLEDGED: Final = 2
SERVES: Final = 3
LEAVE: Final = 4
CPU: Final = 5
ENCODED: Final = 6
EPOCH: Final = 7
POSITION: Final = 8
INDEX: Final = 9
ANSWERED: Final = 10
BUSY: Final = 11
SLOT: Final = 12
PID: Final = 13
PROCESS: Final = 14


def place(number: int, column: int) -> int:
    """Where a word of a worker's row lies in the table's file."""
    return 8 * (number * ROW_WORDS + column)


class Table:
    """A mapping of the table; `words[row * ROW_WORDS + column]`, rows counted from 1."""

    def __init__(self, fd: int) -> None:
        self._mapping = mmap.mmap(fd, TABLE_BYTES)
        self.words = memoryview(self._mapping).cast("Q")

    def close(self) -> None:
        """Unmap. Idempotent."""
        self.words.release()
        self._mapping.close()
