"""A /dev/shm of a trial's own: a mount namespace in which nobody else's files are seen."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

__all__ = ["command_in_own_shm", "namespace"]

_WAYS: Final = (("unshare", "-m"), ("unshare", "-Urm"))
"""As root, and as anyone where user namespaces are allowed."""


@functools.cache
def namespace() -> tuple[str, ...] | None:
    """The command that makes one, or None where none can be made."""
    for way in _WAYS:
        if shutil.which(way[0]) is None:
            continue
        tried = subprocess.run(_mounting(way, 1, ["true"]), capture_output=True, check=False)
        if tried.returncode == 0:
            return way
    return None


def command_in_own_shm(command: Sequence[str], size_mb: int | None) -> list[str]:
    """The command, run with a /dev/shm of its own; of the usual size, if none is given."""
    way = namespace()
    return list(command) if way is None else _mounting(way, size_mb or _usual_mb(), command)


def _mounting(way: Sequence[str], size_mb: int, command: Sequence[str]) -> list[str]:
    mount = f'mount -t tmpfs -o size={size_mb}m tmpfs /dev/shm && exec "$@"'
    return [*way, "sh", "-c", mount, "sh", *command]


def _usual_mb() -> int:
    try:
        return max(64, shutil.disk_usage("/dev/shm").total >> 20)
    except OSError:
        return 64
