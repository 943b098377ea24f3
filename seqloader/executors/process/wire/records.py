"""The records that cross the pipes, and the layout of the table that all workers share.

All are native-endian: both ends run on one machine. A record's size divides `PIPE_BUF`, so a
write of one, or of several up to `PIPE_BUF`, is whole or absent, never torn; and a pipe that only
ever holds whole records is read one whole record at a time, by any number of readers.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = [
    "COMPUTED",
    "DROPPED",
    "EMPTY_ATTEMPT",
    "FAILED",
    "LEFT",
    "NOTICED",
    "RAISED",
    "READY",
    "RECORD_BYTES",
    "REPORT",
    "TICKET",
    "Report",
]

RECORD_BYTES: Final = 64
"""Size of a ticket and of a report."""

EMPTY_ATTEMPT: Final = (1 << 64) - 1
"""Attempt of a ticket that computes nothing: whoever takes it only loads the state it names."""

TICKET: Final = struct.Struct("=QQQqQQQQ")
"""serial, epoch, position, index, attempt, padding, state version, state offset."""

REPORT: Final = struct.Struct("=QQQQQIIfffHH")
"""See `Report`."""

READY: Final = 1
"""The worker has loaded the Sequence and run `worker_init`."""
COMPUTED: Final = 2
"""A batch lies in a block."""
RAISED: Final = 3
"""An exception lies in a block (block 0: it could not be written, see `layout`)."""
DROPPED: Final = 4
"""The ticket was below the floor and thrown away."""
FAILED: Final = 5
"""The worker cannot work (loading, `worker_init`): an exception lies in a block."""

NOTICED: Final = 6
"""Beside the answers: what a first batch may have drawn lies in a block (drawn_values.py)."""
LEFT: Final = 7
"""The worker was to leave, and takes no more tickets. Its last report."""


class Report(NamedTuple):
    """What a worker says about one ticket."""

    serial: int
    """Of the ticket; 0 for READY, NOTICED and LEFT, and for FAILED before any ticket."""
    offset: int
    """Of the block in its arena, in bytes."""
    size: int
    """Bytes reserved for the block: its size class."""
    nbytes: int
    """Bytes of memory the batch occupies, over all its blocks."""
    taken_ns: int
    """When it took the ticket, CLOCK_MONOTONIC."""
    block: int
    """Number of the block in its arena; 0: none."""
    layout: int
    """How the block is laid out: see wire/layouts.py."""
    busy_s: float
    """From taking the ticket to this report. (Half the bits of a Python float: a duration of any
    length is off by less than a ten-millionth.)"""
    take_s: float
    """The first part of it: what had to be loaded before `__getitem__` was called."""
    encode_s: float
    """The last part of it: the batch was written into its blocks, or the exception packed."""
    worker: int
    """Number of the worker process: its row in the table."""
    kind: int


assert TICKET.size == REPORT.size == RECORD_BYTES
