"""What the scripts print: figures, judged rows, failures."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from harness.cases import Run
from harness.figures import Figures
from harness.tables import WORDS, Table, row_table
from harness.verdict import Row
from seqloader.command.rounds import SPREAD_LIMIT, spread
from seqloader.command.terminal import print_table
from seqloader.command.words import three_digits

_HEADINGS = tomllib.loads(Path(__file__).with_name("headings.toml").read_text())


def show_figures(title: str, figures: Figures, names: Sequence[str]) -> None:
    """Medians of the named cases, with the spread of each one's first figure."""
    medians = {figure: [figures.median(name, figure) for name in names] for figure in _HEADINGS}
    shown = {f: column for f, column in medians.items() if column.count(None) < len(column)}
    rows = []
    for place, name in enumerate(names):
        cells = {figure: column[place] for figure, column in shown.items()}
        leading = next((figure for figure, median in cells.items() if median is not None), None)
        apart = f"{spread(figures.values(name, leading)):.0%}" if leading else "no figure"
        told = ["" if median is None else three_digits(median) for median in cells.values()]
        rows.append([name, *told, apart])
    if shown:
        show_table(Table(title, ["", *(_HEADINGS[figure] for figure in shown), "spread"], rows))


def show_rows(title: str, rows: Sequence[Row]) -> None:
    """What was wanted, what was reached, the verdict, and why it is not ok where that is known."""
    if not rows:
        return
    show_table(row_table(rows, title))
    for row in rows:
        if row.excuse:
            print(f"{row.work}: {row.excuse}")
    print(
        f"Medians of rounds. UNSTABLE: the rounds lie more than {SPREAD_LIMIT:.0%} of the median"
        " (or of an upper limit above it) apart, so this run cannot tell."
    )


def show_failures(failures: Sequence[Run]) -> None:
    """Why runs brought no figure; what befell several of them alike is told once."""
    alike: dict[tuple[bool, str], list[str]] = {}
    for run in failures:
        alike.setdefault((run.wrong, str(run.failure)), []).append(run.case.name)
    for (wrong, failure), names in alike.items():
        counts = ", ".join(f"{name} ({names.count(name)} times)" for name in dict.fromkeys(names))
        print(f"{'WRONG DATA' if wrong else 'FAILED'}: {counts}: {failure}", file=sys.stderr)


def show_table(table: Table) -> None:
    print_table(table.title, table.columns, table.rows, words=WORDS, style=_style)


def _style(cell: str) -> str:
    style = {"ok": "green", "below": "red", "no figure": "red"}.get(cell, "")
    return "yellow" if cell.startswith("UNSTABLE") else style
