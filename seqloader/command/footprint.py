"""What this process and its workers occupy, and how much CPU they have used.

Linux tells how much of a process is private or files (PSS: a page that n processes map counts 1/n
in each). Shared memory is counted apart, by the nameless files that the processes hold open, each
once and whole: what nobody maps at the moment is in nobody's PSS. Elsewhere it is what each process
holds alone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["machine_cpu_s", "tree_cpu_s", "tree_memory_bytes", "written_bytes"]

BYTES_PER_STAT_BLOCK = 512


def tree_cpu_s() -> float:
    """CPU seconds of this process and of the living ones below it."""
    total_s = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += times.user + times.system
    return total_s


def machine_cpu_s() -> float:
    """CPU seconds that all programs on this machine have used, and those that were stolen from it.

    Counted is what is not idle.
    """
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, kind, 0.0) for kind in kinds)


def tree_memory_bytes() -> int:
    """Memory of this process and all below it; what they share counts once on Linux."""
    me = psutil.Process()
    own_bytes = mapped_bytes = 0
    files: dict[tuple[int, int], int] = {}
    for process in (me, *me.children(recursive=True)):
        folder = Path(f"/proc/{process.pid}")
        try:
            rollup = (folder / "smaps_rollup").read_text()
        except OSError:  # it has ended, or there is no such file on this system
            with suppress(psutil.Error):
                own_bytes += process.memory_full_info().uss
            continue
        sizes = _sizes(rollup)
        own_bytes += sizes.get("Pss_Anon", 0) + sizes.get("Pss_File", 0)
        mapped_bytes += sizes.get("Pss_Shmem", 0)
        files.update(_shared_files(folder / "fd"))
    return own_bytes + max(mapped_bytes, sum(files.values()))


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


def _sizes(rollup: str) -> dict[str, int]:
    fields = (line.split() for line in rollup.splitlines()[1:])
    return {name.rstrip(":"): int(kib) * 1024 for name, kib, _ in fields}


def _shared_files(folder: Path) -> dict[tuple[int, int], int]:
    """Bytes of each file in memory that a process holds open, by device and inode."""
    found = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    for name in names:
        try:
            path, facts = os.readlink(folder / name), os.stat(folder / name)
        except OSError:
            continue  # closed since
        if stat.S_ISREG(facts.st_mode) and path.startswith(("/memfd:", "/dev/shm/")):
            found[facts.st_dev, facts.st_ino] = facts.st_blocks * BYTES_PER_STAT_BLOCK
    return found
