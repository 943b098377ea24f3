"""How many CPUs this process may use: by affinity, and by the quota of its control groups."""

from __future__ import annotations

import math
import os

from seqloader.memory.cgroups import own_folders
from seqloader.memory.kernel_files import read

__all__ = ["cpu_quota", "cpus_by_affinity", "usable_cpus"]


def usable_cpus() -> int:
    """CPUs by affinity, or fewer where a control group's quota says so; at least 1."""
    count, quota = cpus_by_affinity(), cpu_quota()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def cpus_by_affinity() -> int:
    """CPUs that this process may run on, whatever its quota of their time."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def cpu_quota() -> float | None:
    """CPUs' worth of time that the control groups allow; None without a limit."""
    quotas = [quota for folder, old in own_folders("cpu") if (quota := _quota(folder, old))]
    return min(quotas, default=None)


def _quota(folder: str, old: bool) -> float | None:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if old else ("cpu.max",)
    try:
        quota, period = " ".join(read(os.path.join(folder, name)) for name in names).split()
        return max(0.0, int(quota) / int(period))  # -1: no limit
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        return None
