"""What a chapter of the suite is made of: cases to measure, columns to show, figures to want."""

from __future__ import annotations

import statistics
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import Peer

from harness.cases import Case
from harness.contestants import OURS
from harness.figures import Figures
from harness.judge import Judge
from harness.verdict import Row
from seqloader.command.words import three_digits

Cases = Callable[[bool, Sequence[Peer]], list[Case]]


@dataclass(frozen=True)
class Column:
    """One figure of every case, or what it is beside that of another case, round by round."""

    figure: str
    heading: str = ""
    scale: float = 1.0
    per: str = ""
    less: str = ""
    suffix: str = ""

    def values(self, figures: Figures, chapter: str, label: str) -> list[float]:
        prefix = f"{chapter}: " if chapter else ""
        name = f"{prefix}{label}{self.suffix}"
        if self.per:
            values = figures.ratios(name, prefix + self.per, self.figure)
        elif self.less:
            values = figures.differences(name, prefix + self.less, self.figure)
        else:
            values = figures.values(name, self.figure)
        return [value * self.scale for value in values]

    def cell(self, figures: Figures, chapter: str, label: str) -> str:
        values = self.values(figures, chapter, label)
        return three_digits(statistics.median(values)) if values else ""


@dataclass(frozen=True)
class Plot:
    """A column as bars, one for each case of a peer."""

    column: Column
    more_is_better: bool = True
    limit: str = ""
    limit_figure: str = ""
    limit_words: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class Wanted:
    """A figure that is wanted of seqloader; without any target it is only told."""

    work: str
    unit: str
    column: Column
    label: str = OURS
    words: str = ""
    wanted: str = ""
    at_least: float | None = None
    at_most: float | None = None
    times_best: float | None = None
    limit: tuple[str, str] | None = None
    at_most_best: bool = False
    basis: str = ""
    reason: str = ""
    tells_seconds: bool = False
    full_only: bool = False
    quick_only: bool = False

    def is_asked(self, quick: bool) -> bool:
        return not (self.full_only if quick else self.quick_only)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Wanted:
        """From the fields of it and of its column, side by side."""
        names = [name for name in ("figure", "per", "less") if name in facts]
        column = Column(**{name: facts[name] for name in names})
        own = {name: value for name, value in facts.items() if name not in names}
        return cls(**own, column=column)

    def row(self, judge: Judge) -> Row:
        figure = self.column.figure
        facts: dict[str, Any] = {"at_least": self.at_least, "at_most": self.at_most}
        facts |= {"words": self.words, "told": self.wanted, "basis": self.basis}
        if self.times_best is not None:
            facts |= judge.times_best(self.times_best, figure, self.label, self.limit)
        if self.at_most_best:
            facts |= judge.not_above_best(figure, self.column.scale)
        if self.tells_seconds and (own := judge.values(self.label, figure)):
            facts["beside"] = f"{statistics.median(own):.2f} s"
        values = self.column.values(judge.figures, judge.chapter, self.label)
        return Row(self.work, values, self.unit, reason=self.reason, **facts)


@dataclass(frozen=True)
class Chapter:
    """One question, and all that is needed to ask it and to show the answer."""

    name: str
    """As `--only` takes it; names of its cases begin with it."""
    title: str
    text: str
    """What is done, in a few sentences, for the page."""
    cases: Cases
    """Given whether it must be quick, and the peers that are installed."""
    columns: Sequence[Column]
    plots: Sequence[Plot]
    wanted: Sequence[Wanted] = ()
    beside: Sequence[Column] = ()
    """Columns of what is measured beside the peers: limits and yardsticks."""
    quick_peers: Sequence[str] | None = None
    """The peers that `--quick` measures; None for all."""

    def label(self, case: Case) -> str:
        return case.name.removeprefix(f"{self.name}: ")

    def rows(self, judge: Judge) -> list[Row]:
        """What is wanted, beside what was reached."""
        return [each.row(judge) for each in self.wanted if each.is_asked(judge.quick)]


def read_chapters(file: Path, cases: Mapping[str, Cases]) -> tuple[Chapter, ...]:
    """The chapters of a TOML file, with what computes the cases of each."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    columns = {name: Column(**facts) for name, facts in content["columns"].items()}

    def of_column(facts: Mapping[str, Any]) -> dict[str, Any]:
        return {**facts, "column": columns[facts["column"]]}

    found = []
    for name, facts in content["chapters"].items():
        parts = {
            "text": facts["text"].strip().format(**vars(sys.modules[cases[name].__module__])),
            "columns": [columns[each] for each in facts["columns"]],
            "beside": [columns[each] for each in facts.get("beside", ())],
            "plots": [Plot(**of_column(each)) for each in facts["plots"]],
            "wanted": [Wanted(**of_column(each)) for each in facts.get("wanted", ())],
        }
        found.append(Chapter(**{**facts, **parts}, name=name, cases=cases[name]))
    return tuple(found)
