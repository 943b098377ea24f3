"""The table: words of shared memory in which every worker says what it has taken.

One header row, then one row per worker *process*. A row is never used again by a successor, so
what a dead worker left in its row stays true. Every word is aligned, has eight bytes and one
writer; reading and storing one is a single access.

    header   FLOOR         consumer   tickets with a smaller serial are thrown away
             FIRST_VERSION consumer   the state that workers load which were started before there
             FIRST_OFFSET  consumer   was one, and where its manifest lies; 0: there is none
    row      TAKEN         worker     serial of the ticket it works on; 0: none
             SINCE         worker     when it took it, CLOCK_MONOTONIC in ns; stored before TAKEN
             ACKNOWLEDGED  worker     it holds no mapping of a state older than this version
             SERVES        worker     1: it takes tickets, or is about to
             LEAVE         consumer   1: it is to leave after what it works on
             CPU           worker     CPU time of the tickets it has computed, in ns
             ENCODED       worker     time it has spent on writing their batches, in ns
"""

from __future__ import annotations

import mmap
from typing import Final

__all__ = [
    "ACKNOWLEDGED",
    "CPU",
    "ENCODED",
    "FIRST_OFFSET",
    "FIRST_VERSION",
    "FLOOR",
    "LEAVE",
    "ROWS",
    "ROW_WORDS",
    "SERVES",
    "SINCE",
    "TABLE_BYTES",
    "TAKEN",
    "Table",
]

ROW_WORDS: Final = 8
"""One cache line a row, so that no two workers write to the same one."""
ROWS: Final = 65_535
"""Worker processes a table has room for, replacements included. Rows never used cost nothing."""
TABLE_BYTES: Final = (ROWS + 1) * ROW_WORDS * 8

FLOOR: Final = 0
FIRST_VERSION: Final = 1
FIRST_OFFSET: Final = 2
TAKEN: Final = 0
SINCE: Final = 1
ACKNOWLEDGED: Final = 2
SERVES: Final = 3
LEAVE: Final = 4
CPU: Final = 5
ENCODED: Final = 6


class Table:
    """A mapping of the table; `words[row * ROW_WORDS + column]`, rows counted from 1."""

    def __init__(self, fd: int) -> None:
        self._mapping = mmap.mmap(fd, TABLE_BYTES)
        self.words = memoryview(self._mapping).cast("Q")

    def close(self) -> None:
        """Unmap. Idempotent."""
        self.words.release()
        self._mapping.close()
