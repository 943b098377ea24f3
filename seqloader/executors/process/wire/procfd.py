"""Descriptors that the consumer opened after a worker was started: reached through `/proc`.

A worker inherits what is open when it starts. A shared array made later is opened by the name that
the system gives to the consumer's descriptor. Where there is no such name, as on macOS, or a worker
may not use it, the consumer starts other workers instead.
"""

from __future__ import annotations

import os

from seqloader.memory.fallbacks import without

__all__ = ["are_open_to_children", "open_of"]


def are_open_to_children() -> bool:
    """Whether workers can open this process's descriptors, as far as can be told from here."""
    if without("procfd"):
        return False
    try:
        # Another number: this `/proc` is that of another namespace. Another owner: the process is
        # one of those (with capabilities, for instance) that the system keeps others out of.
        mine = os.readlink("/proc/self") == str(os.getpid())
        return mine and os.stat("/proc/self/fd").st_uid == os.geteuid()
    except OSError:
        return False


def open_of(pid: int, fd: int) -> int:
    """Open for reading what the process has open as `fd`."""
    return os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
