"""What a chapter of the suite is made of: cases to measure, columns to show, rows to judge."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peers import Peer

from harness.cases import Case
from harness.figures import Figures
from harness.judge import Judge
from harness.verdict import Row

__all__ = ["Chapter", "Column", "Plot"]


@dataclass(frozen=True)
class Column:
    """One figure of every case, or what it is beside that of another case, round by round."""

    figure: str
    heading: str
    scale: float = 1.0
    per: str = ""
    """Label of the case in whose units it is told."""
    less: str = ""
    """Label of the case whose figure is subtracted."""
    suffix: str = ""
    """What the label of the case that measures this figure has at its end."""

    def values(self, figures: Figures, chapter: str, label: str) -> list[float]:
        name = f"{chapter}: {label}{self.suffix}"
        if self.per:
            values = figures.ratios(name, f"{chapter}: {self.per}", self.figure)
        elif self.less:
            values = figures.differences(name, f"{chapter}: {self.less}", self.figure)
        else:
            values = figures.values(name, self.figure)
        return [value * self.scale for value in values]

    def median(self, figures: Figures, chapter: str, label: str) -> float | None:
        values = self.values(figures, chapter, label)
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Plot:
    """A column as bars, one for each case of a peer."""

    column: Column
    more_is_better: bool = True
    limit: str = ""
    """Label of the case that measures the limit; a line is drawn there."""
    limit_figure: str = ""
    limit_words: str = ""
    suffix: str = ""
    """Of the picture's file name, where a chapter has several."""


@dataclass(frozen=True)
class Chapter:
    """One question, and all that is needed to ask it and to show the answer."""

    name: str
    """As `--only` takes it; names of its cases begin with it."""
    title: str
    text: str
    """What is done, in a few sentences, for the page."""
    cases: Callable[[bool, Sequence[Peer]], list[Case]]
    """Given whether it must be quick, and the peers that are installed."""
    columns: Sequence[Column]
    plots: Sequence[Plot]
    rows: Callable[[Judge], list[Row]]
    beside: Sequence[Column] = ()
    """Columns of what is measured beside the peers: limits and yardsticks."""
    quick_peers: Sequence[str] | None = None
    """The peers that `--quick` measures; None for all."""

    def label(self, case: Case) -> str:
        return case.name.removeprefix(f"{self.name}: ")
