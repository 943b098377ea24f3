"""What this process holds of the system, taken down so that two moments can be compared."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import psutil

from guards import named_memory

__all__ = ["MARK", "Holdings", "describe", "is_beside_another_run", "is_ours", "orphans", "take"]

MARK: Final = "PYTEST_LEAK_GUARD"
"""Environment variable that every process started by the tests inherits, and orphans keep."""

_WITHOUT_A_FILE: Final = ("/memfd:", "/dev/shm/", "/dev/zero", "(deleted)")

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGCHLD", "SIGHUP", "SIGALRM", "SIGIO", "SIGPIPE")


FOREIGN = ("TMonitor", "_DummyThread")
"""Threads that are not ours: tqdm's; and those that C++ made, once they have called Python
(TensorFlow's, which read a dataset ahead), which Python lists and cannot join."""


@dataclass(frozen=True)
class Holdings:
    """Each field is a set; what a later one has on top of an earlier one was leaked."""

    processes: frozenset[psutil.Process]
    """Children, theirs included, and zombies."""
    pids: frozenset[int]
    """All that run on this machine: only new ones can be orphans of ours."""
    threads: frozenset[threading.Thread]
    descriptors: frozenset[str]
    mappings: frozenset[str]
    """Of memory that is shared, or has no file."""
    named_memory: frozenset[str]
    """All names in /dev/shm: only some of the new ones are ours."""
    signals: frozenset[str]

    def beyond(self, earlier: Holdings) -> Holdings:
        """What is here and was not there."""
        return Holdings(
            *(getattr(self, f.name) - getattr(earlier, f.name) for f in fields(Holdings))
        )


def take() -> Holdings:
    """Look at this process now."""
    return Holdings(
        processes=_children(),
        pids=frozenset(psutil.pids()),
        threads=frozenset(t for t in threading.enumerate() if type(t).__name__ not in FOREIGN),
        descriptors=_descriptors(),
        mappings=_mappings(),
        named_memory=named_memory.names(),
        signals=_dispositions(),
    )


def _children() -> frozenset[psutil.Process]:
    """Children and theirs. Most tests have none, and Linux says so ten times faster than a walk
    through all processes."""
    try:
        lists = [f"/proc/self/task/{thread}/children" for thread in os.listdir("/proc/self/task")]
        if not any(Path(path).read_text() for path in lists):
            return frozenset()
    except OSError:
        pass  # no such files in this system, or a thread that has just ended
    return frozenset(psutil.Process().children(recursive=True))


def orphans(pids: frozenset[int]) -> list[psutil.Process]:
    """Those of `pids` that a test started, and whose parent is no longer one of ours."""
    return [process for pid in pids if (process := _marked(pid)) is not None]


def is_ours(pid: int) -> bool:
    """Whether the process is this one, or one that the tests started."""
    if pid == os.getpid() or _marked(pid) is not None:
        return True
    try:
        return psutil.Process() in psutil.Process(pid).parents()
    except psutil.Error:
        return False


def is_beside_another_run() -> bool:
    """Whether a living process was started by another run of tests, whoever's it is."""
    return any(_mark(pid) not in (None, os.environ.get(MARK)) for pid in psutil.pids())


def _marked(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if _mark(pid) == os.environ.get(MARK) else None
    except psutil.Error:
        return None  # gone


def _mark(pid: int) -> str | None:
    """The run by whose tests the process was started."""
    try:
        return psutil.Process(pid).environ().get(MARK)
    except (psutil.Error, OSError):
        return None  # gone, a zombie, or someone else's


def describe(process: psutil.Process) -> str:
    """One line by which a reader knows which process it is."""
    try:
        status = process.status()
        command = "" if status == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())[:120]
        return f"process {process.pid} ({status}) {command}".rstrip()
    except psutil.Error:
        return f"process {process.pid} (gone meanwhile)"


def _descriptors() -> frozenset[str]:
    directory = Path("/proc/self/fd")
    if not directory.exists():
        return frozenset()
    found = set()
    for name in os.listdir(directory):
        try:
            target = os.readlink(directory / name)
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if target != "/dev/urandom":  # opened at first use, by the standard library, for good
            found.add(f"descriptor {name} -> {target}")
    return frozenset(found)


def _mappings() -> frozenset[str]:
    """Mappings of memory that has no file: the kernel keeps it until they are gone."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return frozenset()
    found = set()
    for line in maps.read_text().splitlines():
        if any(part in line for part in _WITHOUT_A_FILE):
            _, _, _, _, inode, target = line.split(maxsplit=5)
            found.add(f"mapping of {target}, inode {inode}")
    return frozenset(found)


def _dispositions() -> frozenset[str]:
    found = {f"{n}: {signal.getsignal(getattr(signal, n))}" for n in _SIGNALS if hasattr(signal, n)}
    if hasattr(signal, "pthread_sigmask"):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        found.add(f"blocked signals: {sorted(int(s) for s in blocked)}")
    return frozenset(found)
