"""The control groups that this process is in, and the limits that they set.

Paths are plain strings: every worker imports this module, and `pathlib` takes longer to import than
all else that a worker needs for its memory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from seqloader.memory.kernel_files import read

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_folders"]

_MOUNT = "/sys/fs/cgroup"
_OWN = "/proc/self/cgroup"


def own_folders(controller: str) -> Iterator[tuple[str, bool]]:
    """Folders of our own group and of those above it that a controller has files in, as far as
    they can be seen; and whether that is version 1, which has a tree for each controller.

    In a container the path may be the host's, and the mount shows our own group as its root.
    """
    try:
        lines = read(_OWN).splitlines()
    except OSError:  # what is mounted may be ours all the same
        lines = ["0::/", f"1:{controller}:/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tree = os.path.join(_MOUNT, controller) if controllers else _MOUNT
        folder = os.path.join(tree, path.strip("/")).rstrip("/")
        while folder.startswith(_MOUNT):  # up to the mount itself
            yield folder, bool(controllers)
            folder = os.path.dirname(folder)
