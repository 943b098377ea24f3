"""What stands in one cell of the table: the worst outcome of its trials, in a few words."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scoreboard.catalogue import FAULTS, Fault
from scoreboard.results import Contestant, Record, Results
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


@dataclass(frozen=True)
class Cell:
    text: str
    grade: Grade
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
    contestants = list(results.contestants.values())
    return [
        (fault, [cell_of(results, contestant, fault) for contestant in contestants])
        for fault in faults_of(results)
    ]


def faults_of(results: Results) -> list[Fault]:
    """The faults that were tried, in their order."""
    tried = {record.trial.fault for record in results.records}
    return [fault for fault in FAULTS if fault.name in tried]


def cell_of(results: Results, contestant: Contestant, fault: Fault) -> Cell:
    """What became of one contestant under one fault."""
    records = results.of(contestant.name, fault.name)
    if records:
        return _of_records(records, fault)
    if contestant.missing:
        return Cell("not installed", Grade.NONE)
    if fault.needs_workers and contestant.is_yardstick:
        return Cell("does not apply", Grade.NONE)
    return Cell("", Grade.NONE)


def _of_records(records: Sequence[Record], fault: Fault) -> Cell:
    outcomes = [record.verdict.outcome for record in records]
    outcome = worst(outcomes)
    count = Counter(outcomes)[outcome]
    text = outcome.value if count == len(outcomes) else f"{count}/{len(outcomes)} {outcome.value}"
    return Cell(text, _grade(outcome, fault), tuple(records))


def _grade(outcome: Outcome, fault: Fault) -> Grade:
    if outcome is good_outcome(fault):
        return Grade.GOOD
    return {
        Outcome.COMPLETE: Grade.GOOD,
        Outcome.CLEAR: Grade.CLEAR,
        Outcome.UNCLEAR: Grade.UNCLEAR,
        Outcome.LEAK: Grade.BAD,
        Outcome.HANG: Grade.WORST,
        Outcome.WRONG: Grade.WORST,
        Outcome.UNTRIED: Grade.NONE,
    }[outcome]
