"""What happens in a trial, written down by the processes it happens to, read by the watcher.

A folder holds it all, for a process that is killed can say nothing afterwards:

    journal     a line of JSON for each event in the consumer, with its time
    workers     a line for each process that computed a batch
    struck      is there as soon as the fault has fallen
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Journal:
    """Writes events. One write each, so that lines of several processes do not mix."""

    def __init__(self, folder: str | Path) -> None:
        # Open for good: a peer may use up all descriptors.
        self._descriptor = os.open(Path(folder, "journal"), _APPEND, 0o600)

    def write(self, event: str, **facts: Any) -> None:
        line = {"event": event, "at": time.monotonic(), "pid": os.getpid(), **facts}
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")


class Reader:
    """Reads the events of one process as they come."""

    def __init__(self, folder: str | Path, pid: int) -> None:
        self._path = Path(folder, "journal")
        self._pid = pid
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        """The events since the last call. A line that is only half there waits for the next."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        events = [json.loads(line) for line in whole.splitlines()]
        # A script without a __main__ guard may run in workers too, as far as it gets.
        return [event for event in events if event["pid"] == self._pid]


def note_worker(folder: str | Path) -> None:
    """Called by a process that computes."""
    descriptor = os.open(Path(folder, "workers"), _APPEND, 0o600)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    os.close(descriptor)


def worker_pids(folder: str | Path) -> list[int]:
    """All processes that ever computed."""
    path = Path(folder, "workers")
    return list(dict.fromkeys(map(int, path.read_text().split()))) if path.exists() else []


def strike_once(folder: str | Path) -> bool:
    """Whether the caller is the first, and the fault falls on it."""
    try:
        descriptor = os.open(Path(folder, "struck"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    os.write(descriptor, repr(time.monotonic()).encode())
    os.close(descriptor)
    return True


def strikes(folder: str | Path) -> float | None:
    """When the fault fell first."""
    path = Path(folder, "struck")
    return float(path.read_text() or time.monotonic()) if path.exists() else None
