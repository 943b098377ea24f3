"""The memory of this process and of those that descend from it, read without delay."""

from __future__ import annotations

import os
from typing import Final

from seqloader.memory.kernel_files import read

__all__ = ["memory_bytes"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_bytes() -> tuple[int, int] | None:
    """Private resident memory of this process, and of its descendants together; None where the
    system does not say. Shared memory is in neither: it would be counted in each that maps it."""
    try:
        ours = _private_bytes("self")
    except (OSError, ValueError):
        return None
    descendants = _children("self")
    for pid in descendants:  # grows meanwhile
        descendants += _children(pid)
    return ours, sum(map(_private_bytes_if_there, descendants))


def _children(process: str) -> list[str]:
    try:
        tasks = os.listdir(f"/proc/{process}/task")
        return [pid for t in tasks for pid in read(f"/proc/{process}/task/{t}/children").split()]
    except OSError:  # it has ended, or the kernel was built without
        return []


def _private_bytes(process: str) -> int:
    _, resident, shared, *_ = read(f"/proc/{process}/statm").split()
    return (int(resident) - int(shared)) * _PAGE


def _private_bytes_if_there(process: str) -> int:
    try:
        return _private_bytes(process)
    except (OSError, ValueError):
        return 0
