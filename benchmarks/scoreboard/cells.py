"""What stands in one cell of the table: the worst outcome of its trials, in a few words."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from harness.contestants import Contestant

from scoreboard.catalogue import FAULTS, Fault
from scoreboard.results import Record, Results
from scoreboard.verdict import Outcome, good_outcome, worst


class Grade(enum.Enum):
    """How good an outcome is: in words, as a colour (they differ in lightness too), by rich."""

    GOOD = ("as it should be", "#3a9a5b", "green")
    CLEAR = ("a clear error", "#cfe3a4", "cyan")
    UNCLEAR = ("an unclear error", "#f6d55c", "yellow")
    BAD = ("a leak", "#e8813a", "magenta")
    WORST = ("a hang, or wrong data", "#a81e2c", "bold red")
    NONE = ("nothing to judge", "#eeeeee", "dim")

    def __init__(self, words: str, colour: str, style: str) -> None:
        self.words, self.colour, self.style = words, colour, style


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
