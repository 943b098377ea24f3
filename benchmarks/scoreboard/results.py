"""The stored results: every trial with its facts. They are judged when they are read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoreboard.catalogue import find
from scoreboard.facts import Facts
from scoreboard.trial import Trial
from scoreboard.verdict import Verdict, judge

__all__ = ["Contestant", "Record", "Results"]


@dataclass(frozen=True)
class Contestant:
    """A peer, as far as tables and pages know it."""

    name: str
    version: str = ""
    missing: tuple[str, ...] = ()
    reservation: str = ""
    is_yardstick: bool = False


@dataclass(frozen=True)
class Record:
    """One trial and what came of it."""

    trial: Trial
    facts: Facts

    @property
    def verdict(self) -> Verdict:
        return judge(self.facts, find(self.trial.fault))


@dataclass
class Results:
    """All trials of a scoreboard."""

    measured: str = ""
    quick: bool = False
    machine: Mapping[str, Any] = field(default_factory=dict)
    contestants: dict[str, Contestant] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def begin(
        self,
        contestants: Sequence[Contestant],
        machine: Mapping[str, Any],
        order: Sequence[str] = (),
    ) -> None:
        """A run begins: what it is held on, who takes part, and in which order tables name all."""
        self.measured = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.machine = machine
        known = self.contestants | {contestant.name: contestant for contestant in contestants}
        names = dict.fromkeys([*(name for name in order if name in known), *known])
        self.contestants = {name: known[name] for name in names}

    def replace(self, old: Sequence[Trial]) -> None:
        """Forget what is about to be held anew."""
        cells = {(trial.peer, trial.fault) for trial in old}
        self.records = [r for r in self.records if (r.trial.peer, r.trial.fault) not in cells]

    def of(self, peer: str, fault: str) -> list[Record]:
        """All trials of one cell."""
        return [r for r in self.records if (r.trial.peer, r.trial.fault) == (peer, fault)]

    def save(self, path: Path) -> None:
        """Write all, so that whoever is interrupted has either the old file or the new."""
        content = {
            "benchmark": "faults",
            "measured": self.measured,
            "quick": self.quick,
            "machine": self.machine,
            "contestants": [vars(contestant) for contestant in self.contestants.values()],
            "trials": [
                {
                    **vars(record.trial),
                    "outcome": record.verdict.outcome.value,
                    "why": record.verdict.why,
                    "facts": record.facts.to_dict(),
                }
                for record in self.records
            ],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(new, path)

    @classmethod
    def load(cls, path: Path) -> Results:
        """What was saved; nothing, if nothing was."""
        if not path.exists():
            return cls()
        content = json.loads(path.read_text())
        contestants = [
            Contestant(**{**c, "missing": tuple(c["missing"])}) for c in content["contestants"]
        ]
        return cls(
            measured=content["measured"],
            quick=content["quick"],
            machine=content["machine"],
            contestants={contestant.name: contestant for contestant in contestants},
            records=[_record(each) for each in content["trials"]],
        )


def _record(each: Mapping[str, Any]) -> Record:
    names = ("fault", "peer", "number", "seed", "options")
    return Record(Trial(**{name: each[name] for name in names}), Facts.from_dict(each["facts"]))
