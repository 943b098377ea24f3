"""What the suite measured, as it is stored: every run, its machine, the versions of the peers."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cases import Case, Run
from harness.contestants import Contestant
from harness.figures import Figures
from seqloader.command.machine import Machine
from seqloader.command.stored import now, store

FAILURE_CHARS = 160
_FOLDERS = re.compile(r"(?:/[\w.+-]+)+/(?=[\w.+-])")
_PLAIN = ("measured", "command", "quick", "finished", "took_s", "left_out", "cuts")


@dataclass
class Results:
    """Grows run by run; `save` after each, so that an interrupted suite loses none."""

    machine: Machine
    contestants: Sequence[Contestant]
    command: str
    quick: bool
    measured: str = field(default_factory=now)
    took_s: float = 0.0
    finished: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Chapters that could not be measured, and why."""
    cuts: Mapping[str, str] = field(default_factory=dict)
    """Cases that were measured in fewer rounds than the others, and why."""
    runs: list[Run] = field(default_factory=list)

    def figures(self, chapter: str) -> Figures:
        """Of the runs of a chapter."""
        return Figures([run for run in self.runs if run.case.name.startswith(f"{chapter}: ")])

    def save(self, path: Path) -> None:
        cases = {run.case.name: run.case.to_dict() for run in self.runs}
        content = {
            "benchmark": "suite",
            **{name: getattr(self, name) for name in _PLAIN},
            "took_s": round(self.took_s, 1),
            "machine": dataclasses.asdict(self.machine),
            "peers": [dataclasses.asdict(each) for each in self.contestants],
            "cases": list(cases.values()),
            "runs": [_stored(run) for run in self.runs],
        }
        store(path, content)

    @classmethod
    def load(cls, path: Path) -> Results:
        content = json.loads(path.read_text())
        cases = {each["name"]: Case(**each) for each in content["cases"]}
        return cls(
            machine=Machine(**content["machine"]),
            contestants=list(map(Contestant.from_dict, content["peers"])),
            runs=[Run(**{**each, "case": cases[each["case"]]}) for each in content["runs"]],
            **{name: content[name] for name in _PLAIN},
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
    text = _FOLDERS.sub("", f"{first}: {lines[-1]}" if lines else first)
    return text if len(text) <= FAILURE_CHARS else f"{text[: FAILURE_CHARS - 1]}…"
