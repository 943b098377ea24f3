"""What the suite measured, as it is stored: every run, its machine, the versions of the peers."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cases import Case, Run
from harness.contestants import Contestant
from harness.figures import Figures
from harness.machine import Machine

__all__ = ["Results"]

FAILURE_CHARS = 160
_FOLDERS = re.compile(r"(?:/[\w.+-]+)+/(?=[\w.+-])")


@dataclass
class Results:
    """Grows run by run; `save` after each, so that an interrupted suite loses none."""

    machine: Machine
    contestants: Sequence[Contestant]
    command: str
    quick: bool
    measured: str = field(
        default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    )
    took_s: float = 0.0
    is_finished: bool = False
    left_out: dict[str, str] = field(default_factory=dict)
    """Chapters that could not be measured, and why."""
    cuts: Mapping[str, str] = field(default_factory=dict)
    """Cases that were measured in fewer rounds than the others, and why."""
    runs: list[Run] = field(default_factory=list)

    def figures(self, chapter: str) -> Figures:
        """Of the runs of a chapter."""
        return Figures([run for run in self.runs if run.case.name.startswith(f"{chapter}: ")])

    def save(self, path: Path) -> None:
        """Replace the file at once: whoever is interrupted has the old one or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        os.replace(unfinished, path)

    def to_dict(self) -> dict[str, Any]:
        cases = {run.case.name: run.case.to_dict() for run in self.runs}
        return {
            "benchmark": "suite",
            "measured": self.measured,
            "command": self.command,
            "quick": self.quick,
            "finished": self.is_finished,
            "took_s": round(self.took_s, 1),
            "machine": self.machine.to_dict(),
            "peers": [dataclasses.asdict(each) for each in self.contestants],
            "left_out": self.left_out,
            "cuts": dict(self.cuts),
            "cases": list(cases.values()),
            "runs": [_stored(run) for run in self.runs],
        }

    @classmethod
    def load(cls, path: Path) -> Results:
        content = json.loads(path.read_text())
        cases = {each["name"]: Case(**each) for each in content["cases"]}
        return cls(
            machine=Machine(**content["machine"]),
            contestants=[
                Contestant(**{**each, "missing": tuple(each["missing"])})
                for each in content["peers"]
            ],
            command=content["command"],
            quick=content["quick"],
            measured=content["measured"],
            took_s=content["took_s"],
            is_finished=content["finished"],
            left_out=content["left_out"],
            cuts=content["cuts"],
            runs=[Run(**{**each, "case": cases[each["case"]]}) for each in content["runs"]],
        )


def _stored(run: Run) -> dict[str, Any]:
    stored = run.to_dict()
    stored["figures"] = {name: float(f"{value:.6g}") for name, value in run.figures.items()}
    if run.failure is not None:
        stored["failure"] = in_one_line(run.failure)
    return stored


def in_one_line(failure: str) -> str:
    """The last line of what a run printed, which names the exception, without folders."""
    first, _, rest = failure.partition(": ")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    text = f"{first}: {lines[-1]}" if lines else first
    text = _FOLDERS.sub("", text)
    return text if len(text) <= FAILURE_CHARS else f"{text[: FAILURE_CHARS - 1]}…"
