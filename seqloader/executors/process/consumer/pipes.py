"""The two pipes of a pool and the descriptor that wakes its wait, on the consumer's side.

Rules
    R1  The consumer's ticket end never blocks: what does not fit waits until there is room.
    R2  `written - answered` never exceeds what the report pipe holds, so that no worker ever
        blocks in a report.
    R3  Several records are written at once up to PIPE_BUF: whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from typing import Final

from seqloader.executors.process.wire.records import RECORD_BYTES
from seqloader.memory.descriptors import Descriptors

__all__ = ["READ_BYTES", "Pipes"]

WANTED_BYTES: Final = 1 << 20
"""Capacity asked for: 16,384 records. The system's limit for users without privileges is often
just this; less is accepted."""
READ_BYTES: Final = 1 << 16
"""Read at once: less than this, and the pipe was empty."""


class Pipes:
    """Ticket pipe, report pipe, wake-up."""

    def __init__(self) -> None:
        self.ticket_read = self.ticket_write = self.report_read = self.report_write = -1
        self._wake_read = self._wake_write = -1
        self._descriptors = Descriptors()
        self.room = 0
        """Tickets that may be written and unanswered."""
        self.awake = False
        """Whether somebody has woken us, and that was not noted yet."""

    def open(self, tickets_ahead: int) -> None:
        """Make them, with room for so many tickets if the system permits."""
        own = self._descriptors
        self.ticket_read, self.ticket_write = own.pipe()
        self.report_read, self.report_write = own.pipe()
        if hasattr(os, "eventfd"):
            flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
            self._wake_read = self._wake_write = own.add(os.eventfd, 0, flags)
        else:
            self._wake_read, self._wake_write = own.pipe()
            os.set_blocking(self._wake_read, False)
            os.set_blocking(self._wake_write, False)
        os.set_blocking(self.ticket_write, False)
        os.set_blocking(self.report_read, False)
        self.enlarge(tickets_ahead)

    def enlarge(self, tickets_ahead: int) -> None:
        """Have room for so many tickets, if the system permits. It is never made smaller."""
        if tickets_ahead * RECORD_BYTES > READ_BYTES // 2:
            _enlarge(self.ticket_write)
            _enlarge(self.report_write)
        self.room = _capacity(self.report_write) // RECORD_BYTES // 2

    def descriptors(self) -> tuple[int, int]:
        """What the wait looks at: reports, wake-up."""
        return self.report_read, self._wake_read

    def send(self, records: bytes) -> bool:
        """Write tickets, PIPE_BUF bytes at most. False: there is no room, nothing was written."""
        try:
            os.write(self.ticket_write, records)
        except BlockingIOError:
            return False
        return True

    def receive(self) -> bytes:
        """Read reports, whole ones; empty: there are none."""
        try:
            return os.read(self.report_read, READ_BYTES)
        except BlockingIOError:
            return b""

    def tickets_inside(self) -> int:
        """How many tickets no worker has taken out of the pipe yet."""
        buffer = fcntl.ioctl(self.ticket_read, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", buffer)[0]) // RECORD_BYTES

    def wake(self) -> None:
        """Make a wait return. Any thread, any signal handler."""
        self.awake = True
        with contextlib.suppress(OSError):  # closed meanwhile, or full: awake already
            os.write(self._wake_write, (1).to_bytes(8, "little"))

    def note_awake(self) -> None:
        """Forget that somebody woke us; the next wait blocks again."""
        self.awake = False  # first: who wakes us between the two is heard at the next wait
        with contextlib.suppress(OSError):  # nobody did
            os.read(self._wake_read, 8)

    def end_tickets(self) -> None:
        """Close the write end: workers leave when they have taken what is still inside."""
        self.ticket_write = self._descriptors.close_one(self.ticket_write)

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.ticket_read = self.ticket_write = self.report_read = self.report_write = -1
        self._wake_read = self._wake_write = -1
        self._descriptors.close()


def _enlarge(fd: int) -> None:
    for size in (WANTED_BYTES, WANTED_BYTES // 4):
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
            return


def _capacity(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except (OSError, AttributeError):
        return 1 << 14  # what every platform has at least
