"""Looking at processes: the shell that asks the system."""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from seqloader.command.top.finding import Found, enqueuers_of, has_open
from seqloader.command.top.snapshot import Snapshot, snapshot_of
from seqloader.command.top.wording import Memory, Shown, shown
from seqloader.memory.kernel_files import read

__all__ = ["Process", "look"]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Process(NamedTuple):
    """A process and its enqueuers, in words."""

    pid: int
    title: str
    enqueuers: list[Shown]


class Seen(NamedTuple):
    """A snapshot, and who of its workers lived then."""

    snapshot: Snapshot
    living: dict[int, Memory]


def look(
    pids: list[int], before: dict[tuple[int, int], Snapshot], interval_s: float
) -> tuple[list[Process], dict[tuple[int, int], Snapshot]]:
    """What these processes do; and the snapshots, for the next look.

    A session that was not known is looked at twice, `interval_s` apart.
    """
    seen = _all(pids)
    if any(one.snapshot.key not in before for one in seen):
        before = {one.snapshot.key: one.snapshot for one in seen} | before
        time.sleep(interval_s)
        seen = [one for one in _all(pids) if one.snapshot.key in before]
    processes = []
    for pid in pids:
        here = [one for one in seen if one.snapshot.pid == pid]
        if here:
            lines = [shown(before[s.snapshot.key], s.snapshot, s.living) for s in here]
            processes.append(Process(pid, _title(pid), lines))
    return processes, {one.snapshot.key: one.snapshot for one in seen}


def _all(pids: list[int]) -> list[Seen]:
    seen = []
    for pid in pids:
        for found in enqueuers_of(pid):
            try:
                snapshot = snapshot_of(found, time.monotonic_ns())
                seen.append(Seen(snapshot, _living(found, snapshot)))
            finally:
                found.close()
    return seen


def _living(found: Found, snapshot: Snapshot) -> dict[int, Memory]:
    table, living = found.table, {}
    if table is not None:
        for worker in snapshot.workers:
            if has_open(worker.pid, table.inode):
                with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile
                    living[worker.pid] = Memory(_resident(worker.pid), _arena(worker.pid))
    return living


def _resident(pid: int) -> int:
    return int(read(f"/proc/{pid}/statm").split()[1]) * PAGE_BYTES


def _arena(pid: int) -> int | None:
    """Bytes of batches that a worker has in memory, written or free to be written again."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for number in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{number}").startswith("/memfd:seqloader-arena"):
                    return os.stat(f"{folder}/{number}").st_blocks * 512
    return None


def _title(pid: int) -> str:
    command, resident = "", ""
    with contextlib.suppress(OSError, ValueError):
        command = " ".join(read(f"/proc/{pid}/cmdline").split("\0")).strip()
        resident = f", {_resident(pid) / 2**20:,.0f} MiB"
    return f"pid {pid}{resident}: {command[:120]}"
