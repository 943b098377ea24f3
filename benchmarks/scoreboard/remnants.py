"""What a trial has left: processes, shared memory, temporary files. And the end of all of it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

SHARED: Final = Path("/dev/shm")
KILL_S: Final = 10.0
_PR_SET_CHILD_SUBREAPER: Final = 36
_MOST_NAMES: Final = 8
"""Files that are left are named up to here, and counted beyond."""


def become_subreaper() -> None:
    """Have orphans among our descendants become our children, and no one else's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


class Descendants:
    """All processes below this one, which is their subreaper: none can slip away."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        """How those ended that were collected."""

    def reap(self) -> None:
        """Collect those that ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self.statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])

    def living(self) -> list[psutil.Process]:
        """Those that run; a zombie does not."""
        self.reap()
        return [p for p in psutil.Process().children(recursive=True) if runs(p.pid)]

    def kill(self) -> None:
        """End all of them, also those that start others meanwhile."""
        end = time.monotonic() + KILL_S
        while time.monotonic() < end and (living := self.living()):
            for process in living:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.01)

    def names(self, worker_pids: list[int]) -> list[str]:
        """What the living are called: alike ones once, with their number."""
        names = Counter(_name(process, worker_pids) for process in self.living())
        return [f"{count} x {name}" for name, count in names.items()]


def shared_files() -> list[str]:
    """Files in /dev/shm: each is memory that nobody gives back. Named semaphores are among them."""
    return [str(path) for path in sorted(SHARED.rglob("*")) if not path.is_dir()]


def temporary_files(folder: Path) -> list[str]:
    """Temporary files that hold anything: sockets and empty files cost nothing.

    Not those of Ray's sessions, which keep their logs on purpose.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    names = [path.relative_to(folder) for path in paths]
    return [f"temporary file {name}" for name in names if not name.parts[0].startswith("ray-")]


def shortened(names: list[str]) -> list[str]:
    """A few of them, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return names if more <= 0 else [*names[:_MOST_NAMES], f"and {more} more files"]


def runs(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _name(process: psutil.Process, worker_pids: list[int]) -> str:
    try:
        kind = "worker" if process.pid in worker_pids else process.name()
        stopped = process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return "a process that ended meanwhile"
    return f"{kind} (stopped)" if stopped else kind
