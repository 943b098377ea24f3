"""Memory that can still be had, by the system as a whole and by the cgroups we are in; having it.

Reserving shared memory past either ends with the kernel killing somebody, and not always us.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["available_bytes", "reserve"]

_CANNOT: Final = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.EPERM}
"""The file system, or a sandbox, does not do this at all; else it is memory that is wanting."""

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def available_bytes() -> int | None:
    """Return the bytes that can be had without swapping; None where the system does not say."""
    if sys.platform != "linux":
        return _psutil_available()
    rests = [group.rest_bytes() for group in _cgroups()]
    rests.append(_meminfo_available())
    return min((rest for rest in rests if rest is not None), default=None)


def reserve(fd: int, offset: int, nbytes: int) -> None:
    """Have a range of a file backed by memory, where the system can: an OSError now, instead of
    SIGBUS at the first write."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, offset, nbytes)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise


class _Cgroup(NamedTuple):
    limit: Path
    usage: Path
    stat: Path
    cache: str
    """Line of `stat` with the page cache that the kernel drops before it kills."""

    def rest_bytes(self) -> int | None:
        try:
            limit = int(self.limit.read_text())
            usage = int(self.usage.read_text())
        except (OSError, ValueError):  # "max": no limit
            return None
        with contextlib.suppress(OSError, ValueError):
            for line in self.stat.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == self.cache:
                    usage -= int(value)
        return max(0, limit - max(0, usage))


@functools.cache
def _cgroups() -> list[_Cgroup]:
    """Every cgroup, ours and those above it, that has a limit now."""
    groups = []
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups += [
                _Cgroup(f / "memory.max", f / "memory.current", f / "memory.stat", "inactive_file")
                for f in _folders(_CGROUPS, path)
            ]
        elif "memory" in controllers.split(","):
            groups += [
                _Cgroup(
                    f / "memory.limit_in_bytes",
                    f / "memory.usage_in_bytes",
                    f / "memory.stat",
                    "total_inactive_file",
                )
                for f in _folders(_CGROUPS / "memory", path)
            ]
    return [group for group in groups if group.rest_bytes() is not None]


def _folders(mount: Path, path: str) -> list[Path]:
    # In a container the path may be the host's, and the mount shows our own group as its root.
    inner = mount / path.lstrip("/")
    return [folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount)]


def _meminfo_available() -> int | None:
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", "rb") as meminfo:
        for line in meminfo:
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _psutil_available() -> int | None:
    try:
        import psutil
    except ImportError:
        return None
    available: int = psutil.virtual_memory().available
    return available
