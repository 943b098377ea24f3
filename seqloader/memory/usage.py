"""What one process or thread uses: CPU, waiting for CPU, memory of its own. From `/proc`."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from seqloader.memory.kernel_files import read

__all__ = ["Usage", "usage_of"]

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Usage(NamedTuple):
    """Since it was born, and now."""

    cpu_s: float
    """Seconds of CPU."""
    cpu_waited_s: float
    """Seconds that it wanted a CPU and others had it; 0.0 where the kernel does not count them.
    Of a process, those of its first thread."""
    private_bytes: int
    """Memory that is not shared with others, as far as the kernel counts it at once."""

    def beyond(self, inherited: Usage | None) -> Usage:
        """Without the memory of a process that it was forked from."""
        nbytes = 0 if inherited is None else inherited.private_bytes
        return self._replace(private_bytes=max(0, self.private_bytes - nbytes))


def usage_of(folder: str) -> Usage | None:
    """What is used by the process or thread of this folder, `/proc/<id>` or `/proc/self/task/<id>`.

    None: it has ended, or there is no such folder on this system.
    """
    try:
        ticks = read(f"{folder}/stat").rpartition(")")[2].split()[11:13]
        resident, shared = read(f"{folder}/statm").split()[1:3]
    except (OSError, ValueError):
        return None
    try:
        ran_ns, waited_ns = (int(number) for number in read(f"{folder}/schedstat").split()[:2])
    except (OSError, ValueError):
        ran_ns = waited_ns = 0
    # Ticks count all threads of a process, and nanoseconds only one, more finely.
    cpu_s = max(sum(map(int, ticks)) / _TICKS_PER_S, ran_ns / 1e9)
    return Usage(cpu_s, waited_ns / 1e9, (int(resident) - int(shared)) * _PAGE_BYTES)
