"""What the figures were measured on, in words that name no host and no path."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from seqloader import __version__
from seqloader.memory.cpus import cpu_quota, cpus_by_affinity

__all__ = ["Machine", "describe"]


@dataclass(frozen=True)
class Machine:
    """Hardware, system and versions, as they are stored beside raw results."""

    processor: str
    cores_usable: int
    cores_quota: float | None
    """CPUs' worth of time that the control group allows; None without a limit."""
    memory_gb: float
    system: str
    python: str
    versions: dict[str, str]
    load_1min: float
    """Processes that wanted a core in the minute before the first run."""

    def lines(self) -> list[str]:
        """The description for people."""
        quota = "" if self.cores_quota is None else f" (quota {self.cores_quota:g})"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [
            f"{self.processor}, {self.cores_usable} cores{quota}, {self.memory_gb:.1f} GB, "
            f"{self.system}",
            f"{self.python}, {versions}; load before the first run {self.load_1min:.2f}",
        ]
        if self.load_1min > 0.5:
            lines.append("The machine was busy: expect UNSTABLE rows and figures that are too low.")
        return lines

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def describe(distributions: Sequence[str] = ()) -> Machine:
    """The machine this process runs on, now; and the versions of these distributions."""
    return Machine(
        processor=_processor(),
        cores_usable=cpus_by_affinity(),
        cores_quota=cpu_quota(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={"seqloader": __version__}
        | {name: _version(name) for name in ("numpy", *distributions)},
        load_1min=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
    )


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown processor"
    named = re.search(r"^model name\s*:\s*(.+)$", facts, re.MULTILINE)
    family = re.search(r"^model\s*:\s*(.+)$", facts, re.MULTILINE)
    if named is None:
        return platform.machine()
    return named[1] + (f" (model {family[1]})" if family else "")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
