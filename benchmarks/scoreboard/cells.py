"""What stands in one cell of the table: the worst outcome of its trials, in a few words."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from harness.contestants import Contestant

from scoreboard.catalogue import FAULTS, Fault
from scoreboard.results import Record, Results
from scoreboard.verdict import Outcome, good_outcome, worst

__all__ = ["Cell", "Grade", "cell_of", "faults_of", "table"]


class Grade(enum.Enum):
    """How good an outcome is, for colours."""

    GOOD = "as it should be"
    CLEAR = "a clear error"
    UNCLEAR = "an unclear error"
    BAD = "a leak"
    WORST = "a hang, or wrong data"
    NONE = "nothing to judge"


_GRADES: Final = {
    Outcome.COMPLETE: Grade.GOOD,
    Outcome.CLEAR: Grade.CLEAR,
    Outcome.UNCLEAR: Grade.UNCLEAR,
    Outcome.LEAK: Grade.BAD,
    Outcome.HANG: Grade.WORST,
    Outcome.WRONG: Grade.WORST,
    Outcome.UNTRIED: Grade.NONE,
}


@dataclass(frozen=True)
class Cell:
    text: str
    grade: Grade = Grade.NONE
    records: tuple[Record, ...] = ()

    @property
    def worst(self) -> Record | None:
        """The trial that gave the cell its outcome."""
        if not self.records:
            return None
        outcome = worst([record.verdict.outcome for record in self.records])
        return next(r for r in self.records if r.verdict.outcome is outcome)


def table(results: Results) -> list[tuple[Fault, list[Cell]]]:
    """A row for each fault that was tried, a cell for each contestant."""
    contestants = results.contestants.values()
    return [(f, [cell_of(results, each, f) for each in contestants]) for f in faults_of(results)]


def faults_of(results: Results) -> list[Fault]:
    """The faults that were tried, in their order."""
    tried = {record.trial.fault for record in results.records}
    return [fault for fault in FAULTS if fault.name in tried]


def cell_of(results: Results, contestant: Contestant, fault: Fault) -> Cell:
    """What became of one contestant under one fault."""
    records = results.of(contestant.name, fault.name)
    if records:
        outcomes = [record.verdict.outcome for record in records]
        outcome = worst(outcomes)
        count = outcomes.count(outcome)
        share = "" if count == len(outcomes) else f"{count}/{len(outcomes)} "
        grade = Grade.GOOD if outcome is good_outcome(fault) else _GRADES[outcome]
        return Cell(share + outcome.value, grade, tuple(records))
    if contestant.missing:
        return Cell("not installed")
    return Cell("does not apply" if fault.needs_workers and contestant.is_yardstick else "")
