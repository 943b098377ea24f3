"""What a process and those below it occupy, and how much CPU they have used.

Memory is PSS (a page that n processes map counts 1/n in each) plus the shared memory files that the
processes hold open, each counted once and whole: what nobody maps at the moment is in nobody's PSS.
Where there is no /proc, it is what each process holds alone.

The benchmarks load this file by itself, without the package: it must import nothing of it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import stat
import time
from contextlib import suppress

import psutil

__all__ = ["machine_cpu_s", "tree_cpu_s", "tree_memory_bytes", "tree_pids", "written_bytes"]

BYTES_PER_STAT_BLOCK = 512
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ (\S+) (\d+)")


def tree_pids(root_pid: int) -> list[int]:
    """The process and all below it that are alive now."""
    try:
        root = psutil.Process(root_pid)
        return [root_pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def tree_cpu_s() -> float:
    """CPU seconds of this process, of its living children, and of those it has reaped."""
    reaped = os.times()
    total_s = time.process_time() + reaped.children_user + reaped.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total_s += times.user + times.system
    return total_s


def machine_cpu_s() -> float:
    """CPU seconds that all programs on this machine have used, and those that were stolen from it.

    Counted is what is not idle.
    """
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, kind, 0.0) for kind in kinds)


def tree_memory_bytes(root_pid: int | None = None) -> int:
    """Memory of a process (default: this one) and all below it; what they share counts once."""
    pids = tree_pids(root_pid or os.getpid())
    files: dict[tuple[str, int], int] = {}
    for pid in pids:
        files.update(_shared_files(f"/proc/{pid}/fd"))
    return sum(files.values()) + sum(_bytes_beside(pid, files) for pid in pids)


def written_bytes() -> int:
    """Memory that this process alone has written; elsewhere than on Linux, that it alone holds.

    Without what it could give back at once. Pages of files that were only read cost nothing: a
    memmap brings more of them with every batch.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as rollup:
            rows = [line.split() for line in rollup][1:]
    except OSError:
        return int(psutil.Process().memory_full_info().uss)
    return sum(int(row[1]) * 1024 for row in rows if row[0] in ("Private_Dirty:", "Swap:"))


def _shared_files(folder: str) -> dict[tuple[str, int], int]:
    """Bytes of each file in memory that a process holds open, by device and inode."""
    found = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    for name in names:
        try:
            path, facts = os.readlink(f"{folder}/{name}"), os.stat(f"{folder}/{name}")
        except OSError:
            continue  # closed since, or the process has ended
        in_memory = path.startswith(("/memfd:", "/dev/shm/")) or facts.st_nlink == 0
        if stat.S_ISREG(facts.st_mode) and in_memory:
            device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}"
            found[device, facts.st_ino] = facts.st_blocks * BYTES_PER_STAT_BLOCK
    return found


def _bytes_beside(pid: int, counted: dict[tuple[str, int], int]) -> int:
    """PSS of all mappings; of mappings of files already counted, only the private copies."""
    total_kib = 0
    field = "Pss:"
    try:
        with open(f"/proc/{pid}/smaps") as lines:
            for line in lines:
                if line.startswith(field):
                    total_kib += int(line.split()[1])
                elif (mapping := _MAPPING.match(line)) is not None:
                    is_counted = (mapping[1], int(mapping[2])) in counted
                    field = "Anonymous:" if is_counted else "Pss:"
    except OSError:  # it has ended, or there is no such file on this system
        with suppress(psutil.Error):
            return int(psutil.Process(pid).memory_full_info().uss)
    return total_kib * 1024
