"""Memory that the enqueuers of one user may have together, where they choose their size themselves.

It is a quarter of what the machine, or the control group, had left without them. Training and
validation share it, and so do the processes of one training on one host: each says in a small file
what it claims, and sees there what the others do.

Rules
    R1  A claim is made, and looked at by others, under a lock on the file; so two cannot take the
        same memory. Nobody waits for the lock: who does not get it at once tries again at its next
        look, and stays as it is until then.
    R2  A claim counts while its process lives: a process is known by its id and when it started.
        Claims of the dead are left out by whoever writes next.
    R3  Who has less than it could use says so. The others then keep to an even share. Until they
        have come down to it, the hungry one waits.
    R4  The file belongs to one user, is opened without following links, and is refused if it is
        not a plain file of that user's own: then each enqueuer has a budget for itself.
    R5  Whoever takes its claim back and leaves none removes the file. If the last one is killed,
        some hundred bytes stay behind, until the next enqueuer that sizes itself takes them over.
        (A file without a name cannot be found by others; an abstract socket, or a segment of
        System V that is marked for removal, can, but by tables of all users of the machine.)

The file is text, so that one can look: a line for each claim, and "end".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import io
import itertools
import math
import os
import stat
import sys
import tempfile
import zlib
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from seqloader.memory.headroom import available_bytes
from seqloader.memory.kernel_files import UnheldFile, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Budget", "Claim", "Share", "share_of"]

PART: Final = 4
"""A quarter is ours."""

STALE_S: Final = 10.0
"""What an enqueuer used of the CPUs so long ago it may not use any more: between two epochs."""

TRIES: Final = 8
"""To open the file while others make and remove it."""

VERSION: Final = 1
"""Of the file's form; another one has another name."""

_numbers = itertools.count(1)

_ours: set[int] = set()
"""Numbers of the enqueuers of this process that claim something."""


class Claim(NamedTuple):
    """What one enqueuer has."""

    nbytes: int
    """That it may come to use."""
    used_bytes: int
    """That it uses now: this is no more among what the system has left."""
    cpus: float
    """That its workers use."""
    hungry: bool
    """Whether it could use more memory."""


class Share(NamedTuple):
    """What is left for one of them."""

    room_bytes: float
    """Batches and workers together."""
    cpus_taken: float
    """By the workers of the others, of the CPUs that are ours, too."""


class _Line(NamedTuple):
    pid: int
    started: int
    number: int
    at_s: float
    affinity: int
    claim: Claim

    def text(self) -> str:
        claim = self.claim
        who = f"{self.pid} {self.started} {self.number} {self.at_s:.3f} {self.affinity}"
        return f"{who} {claim.nbytes} {claim.used_bytes} {claim.cpus:.3f} {int(claim.hungry)}\n"

    @classmethod
    def of(cls, text: str) -> _Line:
        pid, started, number, at_s, affinity, nbytes, used, cpus, hungry = text.split()
        claim = Claim(int(nbytes), int(used), float(cpus), hungry == "1")
        return cls(int(pid), int(started), int(number), float(at_s), int(affinity), claim)


def share_of(own: Claim, others: Sequence[Claim], available: float) -> float:
    """Memory that one of them may have, batches and workers together.

    Args:
        own, others: as they stand.
        available: what the system has left beside what they use.
    """
    budget = (available + own.used_bytes + sum(other.used_bytes for other in others)) / PART
    even = budget / (1 + len(others))
    kept = sum(max(other.nbytes, even if other.hungry else 0) for other in others)
    return max(0.0, budget - kept)


NONE: Final = Claim(0, 0, 0.0, hungry=False)


class Budget:
    """The part of one enqueuer.

    Args:
        folder: where the file lies; None: the system's folder for temporary files.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._file = os.path.join(folder or tempfile.gettempdir(), _file_name())
        self._pid = os.getpid()
        self._started = _started(self._pid)
        self._number = next(_numbers)
        self._claim = NONE
        self._noted = False
        """Whether the file may have our line."""

    def renew(self, decide: Callable[[Share], Claim]) -> bool:
        """Claim what `decide` says, which is told what is left. False: it was not asked, because
        somebody else is just doing the same."""
        try:
            file = _open_locked(self._file, create=True)
        except BlockingIOError:
            return False
        except OSError:  # R4; or a folder that cannot be written to
            self._claim = decide(Share(self._room([]), 0.0))
            return True
        with file:
            self._exchange(file, decide)
        return True

    def release(self) -> None:
        """Claim nothing any more."""
        if not self._noted or os.getpid() != self._pid:
            return
        self._claim, self._noted = NONE, False
        _ours.discard(self._number)
        # Where somebody else has the lock just now, he leaves our line out.
        with contextlib.suppress(OSError), _open_locked(self._file, create=False) as file:
            others = self._others(file)
            if others:
                _write(file, others)
            else:
                os.unlink(self._file)

    def _exchange(self, file: io.FileIO, decide: Callable[[Share], Claim]) -> None:
        others = self._others(file)
        now_s, affinity = monotonic(), _affinity()
        cpus_taken = sum(
            line.claim.cpus
            for line in others
            if line.affinity == affinity and abs(now_s - line.at_s) < STALE_S
        )
        room = self._room([line.claim for line in others])
        self._claim = decide(Share(room, cpus_taken))
        own = _Line(self._pid, self._started, self._number, now_s, affinity, self._claim)
        _ours.add(self._number)
        self._noted = True
        with contextlib.suppress(OSError):  # a full disk: the others do without our line
            _write(file, [*others, own])

    def _room(self, others: list[Claim]) -> float:
        available = available_bytes()
        return math.inf if available is None else share_of(self._claim, others, available)

    def _others(self, file: io.FileIO) -> list[_Line]:
        lines = []
        for text in file.readall().decode(errors="replace").partition("end\n")[0].splitlines():
            with contextlib.suppress(ValueError):
                lines.append(_Line.of(text))
        return [line for line in lines if not self._is_own(line) and _lives(line)]

    def _is_own(self, line: _Line) -> bool:
        return (line.pid, line.number) == (self._pid, self._number)


def _lives(line: _Line) -> bool:
    if line.pid == os.getpid() and line.number not in _ours:
        return False
    started = _started(line.pid)
    return started == line.started and started >= 0


def _started(pid: int) -> int:
    """When a process started, in ticks since the system did; -1: it has ended. 0 where that is not
    known of a process that lives."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except OSError:
            return -1
        return 0
    try:
        return int(read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1


def _affinity() -> int:
    """Which CPUs are ours, as a number: others who have other CPUs take none of ours."""
    try:
        return zlib.crc32(repr(sorted(os.sched_getaffinity(0))).encode())
    except (AttributeError, OSError):
        return 0


def _file_name() -> str:
    """Of this user, and of this container: process ids mean nothing in another."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"seqloader-budget-{VERSION}-{os.geteuid()}-{space}"


_OPEN: Final = functools.partial(os.open, mode=0o600)
"""In C from end to end: no interrupt comes between the descriptor and the file that has it."""


def _open_locked(name: str, *, create: bool) -> UnheldFile:
    """The file, locked until it is closed.

    Raises:
        BlockingIOError: another has the lock.
        OSError: it cannot be had, or is not ours.
    """
    for _ in range(TRIES):
        try:
            _check_ours(os.stat(name, follow_symlinks=False), name)
            mode = "r+"
        except FileNotFoundError:
            if not create:
                raise
            mode = "x+"
        with contextlib.suppress(FileExistsError):  # somebody else has made it meanwhile
            file = UnheldFile(name, mode, opener=_OPEN)
            status = os.fstat(file.fileno())
            _check_ours(status, name)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(name, status.st_ino):  # else it was removed while we came
                return file
    raise BlockingIOError(errno.EAGAIN, "made and removed by others, again and again", name)


def _check_ours(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "not a plain file of ours", name)


def _is_at(name: str, inode: int) -> bool:
    try:
        return os.stat(name, follow_symlinks=False).st_ino == inode
    except FileNotFoundError:
        return False


def _write(file: io.FileIO, lines: list[_Line]) -> None:
    text = "".join(line.text() for line in lines) + "end\n"
    os.pwrite(file.fileno(), text.encode(), 0)  # at once: what stands behind "end" is not read
    os.ftruncate(file.fileno(), len(text))
