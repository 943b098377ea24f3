"""A file of trace events, which can be read at any instant, whatever ends its writer.

The form is the JSON array of the trace-event format: `[`, and one event a line, each with a comma
behind it. Viewers accept an array without its end (Perfetto reads event after event, and takes no
offence at a missing `]` or at a last event that is cut off; so does chrome://tracing): so a file
is good as soon as its first line is written. An end that is not a crash adds a last event without
a comma, and the `]` that makes it JSON for everybody.

Rules
    R1  Lines are kept, and written together at an offset that is known. Only after they are
        written, one store says that they are, and where the next begin. An exception that comes
        asynchronously in between has the same lines written again, at the same place.
    R2  Lines are written at the latest before the consumer waits: a crash while it waits loses
        nothing. What is kept otherwise is bounded by `LINES_AT_ONCE`.
    R3  The file never exceeds its limit. Past half of it fewer and fewer batches are written (see
        `every`), and near its end nothing but a last line that says so.
    R4  An error in writing ends the trace, and is nobody else's: see `failure`.
    R5  Two writers have two files. Who writes one has it locked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Final

from seqloader.memory.descriptors import Descriptors

__all__ = ["LIMIT_BYTES", "InUseError", "TraceFile"]

LIMIT_BYTES: Final = 64 << 20
"""About 100,000 batches whole, and thousands of times as many thinned; viewers open it at ease."""
LINES_AT_ONCE: Final = 256
PARTS: Final = 16
WHOLE_PARTS: Final = 8
"""Of the 16 parts of the limit, the first 8 hold every batch, the 9th every 4th, the 10th every
16th, and so on."""
LAST_BYTES: Final = 4096
"""Kept free for the last lines."""


class InUseError(Exception):
    """Somebody else writes this file."""


class TraceFile:
    """Events, appended to a file.

    Args:
        path: of the file, which is overwritten.
        limit_bytes: its size, at most.

    Raises:
        OSError: It cannot be written.
        InUseError: Somebody else writes it.

    Attributes:
        failure: Why nothing is written any more; None: all is well.
    """

    def __init__(self, path: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = os.path.abspath(path)
        self.failure: OSError | None = None
        self._limit = limit_bytes
        self._full = False
        self._pid = os.getpid()
        self._descriptors = Descriptors()
        self._fd = -1
        self._file = (0, 0)
        """Device and inode: whether the path still leads to the same file."""
        self._at: tuple[int, list[str]] = 0, ["[\n"]
        """Where the next line begins in the file, and lines that are not written yet (R1)."""
        self.open()

    @property
    def every(self) -> int:
        """Of how many batches one is to be written: 1, or more the fuller the file is."""
        part = self._at[0] * PARTS // self._limit
        return 1 if part < WHOLE_PARTS else int(4 ** (part - WHOLE_PARTS + 1))

    @property
    def is_open(self) -> bool:
        """Whether it is being written."""
        return self._fd >= 0

    def open(self) -> None:
        """Begin the file; or go on with it, where it was closed."""
        if self._fd >= 0:
            return
        self._descriptors.close()  # where an interrupt came before it was known
        fd = self._descriptors.add(os.open, self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(fd)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != self._file or status.st_size < self._at[0]:
                self._at, self._full = (0, ["[\n"]), False
            self._file = status.st_dev, status.st_ino
            os.ftruncate(fd, self._at[0])
        except BaseException:
            self._descriptors.close()
            raise
        self._fd = fd

    def add(self, line: str) -> None:
        """One more event: a JSON object, without a line's end."""
        lines = self._at[1]
        if self._full or self.failure is not None:
            return
        lines.append(line + ",\n")
        if len(lines) >= LINES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is kept. Raises nothing of its own: see `failure`."""
        offset, lines = self._at
        if not lines or self._fd < 0 or os.getpid() != self._pid:
            return
        data = "".join(lines).encode()
        if offset + len(data) > self._limit - LAST_BYTES:
            self._full = True
            data = (_mark("the trace is full: nothing after this") + ",\n").encode()
        try:
            end = _write(self._fd, data, offset)
        except OSError as error:
            self.failure = error
            self._at = offset, []
            with contextlib.suppress(OSError):  # half a line must not stay
                os.ftruncate(self._fd, offset)
            return
        self._at = end, []

    def close(self) -> None:
        """Write the end, and let go of the file. Idempotent; `open` goes on."""
        if self._fd < 0:
            return
        self.flush()
        if self.failure is None and os.getpid() == self._pid:
            try:
                _write(self._fd, (_mark("the trace ends") + "\n]\n").encode(), self._at[0])
            except OSError as error:
                self.failure = error
            with contextlib.suppress(OSError):
                # Said, and not left to closing it: a forked child may have a descriptor of it.
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._fd = self._descriptors.close_one(self._fd)

    def __del__(self) -> None:
        # A script that ends without stop(). In a forked child only the descriptor is closed.
        with contextlib.suppress(BaseException):
            self.close()


def _mark(text: str) -> str:
    event: dict[str, Any] = {"name": text, "cat": "trace", "ph": "i", "s": "g"}
    where = {"ts": time.perf_counter_ns() / 1000, "pid": os.getpid(), "tid": 1}
    return json.dumps(event | where)


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise InUseError from error
        # A file system that knows no locks: then nobody is told apart there.


def _write(fd: int, data: bytes, offset: int) -> int:
    """Write all of it; returns the offset behind it."""
    while data:
        count = os.pwrite(fd, data, offset)
        offset += count
        data = data[count:]
    return offset
