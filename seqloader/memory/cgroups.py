"""The control groups that this process is in, and the limits that they set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_folders"]

_MOUNT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def own_folders(controller: str) -> Iterator[tuple[Path, bool]]:
    """Folders of our own group and of those above it that a controller has files in, as far as
    they can be seen; and whether that is version 1, which has a tree for each controller.

    In a container the path may be the host's, and the mount shows our own group as its root.
    """
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:  # what is mounted may be ours all the same
        lines = ["0::/", f"1:{controller}:/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        inner = (_MOUNT / controller if controllers else _MOUNT) / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(_MOUNT):
                yield folder, bool(controllers)
