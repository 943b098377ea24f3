"""How many CPUs this process may really use: affinity and the quota of its control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_cpus"]

CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """CPUs by affinity, or fewer where a control group's quota says so; at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        count = os.cpu_count() or 1
    quota = _quota()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def _quota() -> float | None:
    quotas = [quota for directory in _control_groups() if (quota := _read(directory)) is not None]
    return min(quotas, default=None)


def _control_groups() -> list[Path]:
    """Our own group and its ancestors, as far as they can be seen."""
    found = [CGROUPS, CGROUPS / "cpu"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = CGROUPS / ("cpu" if controllers else "")
        group = top / path.lstrip("/")
        found += [group, *(parent for parent in group.parents if parent.is_relative_to(CGROUPS))]
    return found


def _read(directory: Path) -> float | None:
    try:
        quota, period = (directory / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (directory / "cpu.cfs_quota_us").read_text().strip()
            period = (directory / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return share if share > 0 else None
