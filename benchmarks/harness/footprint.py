"""What a tree of processes costs: CPU seconds, and memory counted once.

Memory is PSS (a page shared by n processes counts 1/n in each) plus the shared memory files that
the processes hold open, each counted once and whole: a page of such a file is in nobody's PSS
while nobody maps it. Linux only; elsewhere the memory is unknown.

seqloader has one like it for its commands; no peer is measured with seqloader loaded.
"""

from __future__ import annotations

import os
import re
import resource
import stat
import time

import psutil

__all__ = ["tree_cpu_s", "tree_memory_bytes", "tree_pids"]

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ (\S+) (\d+)")
_FileId = tuple[str, int]


def tree_pids(root_pid: int) -> list[int]:
    """The process and all below it that are alive now."""
    try:
        root = psutil.Process(root_pid)
        return [root_pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def tree_cpu_s() -> float:
    """CPU seconds of this process, of its living children, and of those it has reaped."""
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    total_s = time.process_time() + reaped.ru_utime + reaped.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += times.user + times.system
    return total_s


def tree_memory_bytes(root_pid: int) -> int | None:
    """Memory of the process and all below it, or None where the system does not tell."""
    pids = tree_pids(root_pid)
    open_files: dict[_FileId, int] = {}
    for pid in pids:
        open_files.update(_open_shared_files(pid))
    total_bytes = sum(open_files.values())
    known = False
    for pid in pids:
        private_bytes = _pss_bytes_beside(pid, open_files)
        if private_bytes is not None:
            total_bytes += private_bytes
            known = True
    return total_bytes if known else None


def _open_shared_files(pid: int) -> dict[_FileId, int]:
    """Bytes of each nameless or /dev/shm file that the process holds open."""
    found: dict[_FileId, int] = {}
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return found
    for descriptor in descriptors:
        path = f"{folder}/{descriptor}"
        try:
            facts = os.stat(path)
            named = os.readlink(path)
        except OSError:
            continue  # closed since, or the process has ended
        in_memory = named.startswith(("/memfd:", "/dev/shm/")) or facts.st_nlink == 0
        if stat.S_ISREG(facts.st_mode) and in_memory:
            device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}"
            found[device, facts.st_ino] = facts.st_blocks * 512
    return found


def _pss_bytes_beside(pid: int, counted: dict[_FileId, int]) -> int | None:
    """PSS of all mappings; of mappings of files already counted, only the private copies."""
    total_kb = 0
    field = "Pss:"
    try:
        with open(f"/proc/{pid}/smaps") as lines:
            for line in lines:
                if line.startswith(field):
                    total_kb += int(line.split()[1])
                elif (mapping := _MAPPING.match(line)) is not None:
                    is_counted = (mapping[1], int(mapping[2])) in counted
                    field = "Anonymous:" if is_counted else "Pss:"
    except OSError:
        return None
    return total_kb * 1024
