"""Tables for the terminal: by rich where it is installed, plain text otherwise."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cases import Run
from harness.figures import Figures, spread
from harness.machine import Machine
from harness.verdict import SPREAD_LIMIT, Row, short

__all__ = [
    "row_cells",
    "show_failures",
    "show_figures",
    "show_left_out",
    "show_machine",
    "show_rows",
    "show_table",
]

_COLUMNS = {
    "batches_per_s": "batches/s",
    "samples_per_s": "samples/s",
    "gb_per_s": "GB/s",
    "consumer_us": "consumer us/batch",
    "all_us": "all CPU us/batch",
    "worker_us": "worker CPU us/batch",
    "epoch_ms": "ms/epoch",
    "first_batch_ms": "first batch ms",
    "wall_s": "s/epoch",
    "over_ideal": "x of a strict window",
    "over_even_share": "x ideal",
    "first_batch_s": "first batch s",
    "epoch_s": "epoch s",
    "memory_mb": "memory MB",
    "peak_memory_mb": "peak MB",
    "fresh_ms": "fresh start ms",
    "resumed_ms": "resumed ms",
    "resumed_over_fresh": "x fresh",
    "save_us": "save us",
    "state_nbytes": "bytes as JSON",
    "check_us": "us",
    "m_indices_per_s": "M indices/s",
    "call_us": "us a call",
    "first_index_us": "first index us",
    "pipe_write_read_us": "write + read us",
    "pipe_round_trip_us": "round trip us",
    "np_full_gb_per_s": "np.full GB/s",
    "fill_gb_per_s": "warm fill GB/s",
    "copy_gb_per_s": "warm copy GB/s",
}


def show_machine(machine: Machine) -> None:
    print("\n".join(machine.lines()))


def show_left_out(names_of: Mapping[str, Sequence[str]]) -> None:
    """One line for each distribution that is not installed: distribution -> cases without it."""
    for distribution, names in names_of.items():
        print(f"{distribution} is not installed; left out: {'; '.join(names)}")


def show_figures(title: str, figures: Figures, names: Sequence[str]) -> None:
    """Medians of the named cases, with the spread of each one's first figure."""
    shown = [
        column
        for column in _COLUMNS
        if any(figures.median(name, column) is not None for name in names)
    ]
    if not shown:
        return
    rows = []
    for name in names:
        medians = [figures.median(name, column) for column in shown]
        cells = ["" if median is None else short(median) for median in medians]
        leading = next((c for c, m in zip(shown, medians, strict=True) if m is not None), None)
        apart = f"{spread(figures.values(name, leading)):.0%}" if leading else "no figure"
        rows.append([name, *cells, apart])
    show_table(title, ["", *(_COLUMNS[column] for column in shown), "spread"], rows)


def show_rows(title: str, rows: Sequence[Row], reasons: Mapping[str, str] | None = None) -> None:
    """What was wanted, what was reached, the verdict, and why it is not ok where that is known."""
    if not rows:
        return
    headings, cells = row_cells(rows)
    show_table(title, headings, cells)
    for row in rows:
        if reasons is not None and row.verdict not in ("", "ok") and row.work in reasons:
            print(f"{row.work}: {reasons[row.work]}")
    print(
        f"Medians of rounds. UNSTABLE: the rounds lie more than {SPREAD_LIMIT:.0%} of the median"
        " (or of an upper limit above it) apart, so this run cannot tell."
    )


def row_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of judged rows; what no row says has no column."""
    columns = {
        "work": [row.work for row in rows],
        "wanted": [row.wanted for row in rows],
        "because": [row.basis for row in rows],
        "reached": [row.reached for row in rows],
        "rounds": [row.range for row in rows],
        "verdict": [row.verdict for row in rows],
    }
    shown = {heading: cells for heading, cells in columns.items() if any(cells)}
    return list(shown), [list(cells) for cells in zip(*shown.values(), strict=True)]


def show_failures(failures: Sequence[Run]) -> None:
    """Why runs brought no figure; what befell several of them alike is told once."""
    alike: dict[tuple[bool, str], list[str]] = {}
    for run in failures:
        alike.setdefault((run.wrong, str(run.failure)), []).append(run.case.name)
    for (wrong, failure), names in alike.items():
        counts = ", ".join(f"{name} ({names.count(name)} times)" for name in dict.fromkeys(names))
        print(f"{'WRONG DATA' if wrong else 'FAILED'}: {counts}: {failure}", file=sys.stderr)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    try:
        rich_table: Any = importlib.import_module("rich.table")
        rich_console: Any = importlib.import_module("rich.console")
        rich_text: Any = importlib.import_module("rich.text")
    except ImportError:
        print(plain_table(title, columns, rows))
        return
    table = rich_table.Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        is_text = number == 0 or column in ("because", "notes")
        table.add_column(column, overflow="fold", justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(rich_text.Text(cell, style=_style(cell)) for cell in row))
    # Redirected output has no width of its own: a table folded to 80 columns cannot be read.
    width = None if sys.stdout.isatty() else 170
    rich_console.Console(width=width).print(table)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as lines of text, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [columns, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(["", title, *lines])


def _style(cell: str) -> str:
    if cell == "ok":
        return "green"
    if cell in ("below", "no figure"):
        return "red"
    return "yellow" if cell.startswith("UNSTABLE") else ""
