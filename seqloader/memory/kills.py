"""Whether the kernel has killed for want of memory, by the counts that it keeps.

The control groups that we are in count their own processes that were killed, whoever was short of
memory. Only where none of them can be seen, the machine's count is asked: in a container it is the
whole host's.
"""

from __future__ import annotations

import os

from seqloader.memory.cgroups import own_folders
from seqloader.memory.kernel_files import read

__all__ = ["MemoryKills"]

_MACHINE = "/proc/vmstat"


class MemoryKills:
    """What has been killed for want of memory since this was made, or since it was last asked."""

    def __init__(self) -> None:
        self._counts = _counts()

    def risen(self) -> str:
        """Where somebody was killed: "the control group ..." or "the machine"; empty: nowhere."""
        before, self._counts = self._counts, _counts()
        for file, count in self._counts.items():
            if count > before.get(file, count):
                return "the machine" if file == _MACHINE else f"the control group {_group(file)}"
        return ""


def _group(file: str) -> str:
    return os.path.dirname(file)


def _counts() -> dict[str, int]:
    """Of the innermost group that counts: the outer ones count other groups' processes as well."""
    files = [
        f"{folder}/{'memory.oom_control' if old else 'memory.events'}"
        for folder, old in own_folders("memory")
    ]
    for file in [*files, _MACHINE]:
        count = _oom_kill(file)
        if count is not None:
            return {file: count}
    return {}


def _oom_kill(file: str) -> int | None:
    try:
        lines = read(file).splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None
