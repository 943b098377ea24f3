"""The stored results: every trial with its facts. They are judged when they are read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.contestants import Contestant

from scoreboard.catalogue import find
from scoreboard.facts import Facts, Trial
from scoreboard.verdict import Verdict, judge
from seqloader.command.machine import Machine
from seqloader.command.stored import now, store


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
    machine: Machine | None = None
    contestants: dict[str, Contestant] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def begin(
        self, contestants: Sequence[Contestant], machine: Machine, order: Sequence[str] = ()
    ) -> None:
        """A run begins: what it is held on, who takes part, and in which order tables name all."""
        self.measured = now()
        self.machine = machine
        known = self.contestants | {contestant.name: contestant for contestant in contestants}
        names = dict.fromkeys([*(name for name in order if name in known), *known])
        self.contestants = {name: known[name] for name in names}

    def replace(self, old: Sequence[Trial]) -> None:
        """Forget what is about to be held anew."""
        cells = {trial.cell for trial in old}
        self.records = [record for record in self.records if record.trial.cell not in cells]

    def of(self, peer: str, fault: str) -> list[Record]:
        """All trials of one cell."""
        return [record for record in self.records if record.trial.cell == (peer, fault)]

    def save(self, path: Path) -> None:
        trials = []
        for record in self.records:
            verdict = {"outcome": record.verdict.outcome.value, "why": record.verdict.why}
            facts = dataclasses.asdict(record.facts)
            trials.append({**vars(record.trial), **verdict, "facts": facts})
        content = {
            "benchmark": "faults",
            "measured": self.measured,
            "quick": self.quick,
            "machine": None if self.machine is None else dataclasses.asdict(self.machine),
            "contestants": [vars(contestant) for contestant in self.contestants.values()],
            "trials": trials,
        }
        store(path, content)

    @classmethod
    def load(cls, path: Path) -> Results:
        """What was saved; nothing, if nothing was."""
        if not path.exists():
            return cls()
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = Machine(**content["machine"])
        contestants = {each["name"]: Contestant.from_dict(each) for each in content["contestants"]}
        names = vars(Trial("", ""))
        records = [
            Record(Trial(**{name: each[name] for name in names}), Facts.from_dict(each["facts"]))
            for each in content["trials"]
        ]
        return cls(content["measured"], content["quick"], machine, contestants, records)
