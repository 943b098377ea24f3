"""Memory that can still be had, by the system as a whole and by the cgroups we are in; having it.

Reserving shared memory past either ends with the kernel killing somebody, and not always us.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from typing import Final, NamedTuple

from seqloader.memory.cgroups import own_folders
from seqloader.memory.kernel_files import read

__all__ = ["available_bytes", "reserve"]

_CANNOT: Final = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.EPERM}
"""The file system, or a sandbox, does not do this at all; else it is memory that is wanting."""

_FILES: Final = ("memory.max", "memory.current", "inactive_file")
_OLD_FILES: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes() -> int | None:
    """Return the bytes that can be had without swapping; None where the system does not say."""
    if sys.platform != "linux":
        import psutil  # not above: it takes long, and every worker imports this module

        return int(psutil.virtual_memory().available)
    rests = [limit.rest_bytes() for limit in _limits()]
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


class _Limit(NamedTuple):
    """Of the memory of a control group."""

    limit: str
    usage: str
    stat: str
    cache: str
    """Line of `stat` with the page cache that the kernel drops before it kills."""

    def rest_bytes(self) -> int | None:
        try:
            limit = int(read(self.limit))
            usage = int(read(self.usage))
        except (OSError, ValueError):  # "max": no limit
            return None
        with contextlib.suppress(OSError, ValueError):
            for line in read(self.stat).splitlines():
                name, _, value = line.partition(" ")
                if name == self.cache:
                    usage -= int(value)
        return max(0, limit - max(0, usage))


@functools.cache
def _limits() -> list[_Limit]:
    """Those that the control groups set now: ours, and those above it."""
    found = []
    for folder, old in own_folders("memory"):
        limit, usage, cache = _OLD_FILES if old else _FILES
        within = f"{folder}/"
        found.append(_Limit(within + limit, within + usage, within + "memory.stat", cache))
    return [limit for limit in found if limit.rest_bytes() is not None]


def _meminfo_available() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in read("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
