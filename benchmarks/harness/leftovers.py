"""Named shared memory that a killed run leaves behind; some peers need a clean end to free it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import psutil

__all__ = ["named_memory", "remove_since"]

FOLDER = Path("/dev/shm")


def named_memory() -> set[str]:
    """The names there are now."""
    try:
        return set(os.listdir(FOLDER))
    except OSError:
        return set()  # a system without the folder


def remove_since(before: Collection[str]) -> None:
    """Remove what is new, belongs to this user, and is used by no process that lives."""
    new = named_memory().difference(before)
    if not new:
        return
    used = _used()
    for name in new:
        path = FOLDER / name
        try:
            if path.is_file() and path.stat().st_uid == os.getuid() and str(path) not in used:
                path.unlink()
        except OSError:
            continue  # its owner was faster


def _used() -> set[str]:
    """Paths that any process has mapped or open, as far as we may look."""
    used = set()
    for process in psutil.process_iter():
        try:
            used |= {each.path for each in process.memory_maps()}
            used |= {each.path for each in process.open_files()}
        except (psutil.Error, OSError):
            continue
    return used
