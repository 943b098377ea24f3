"""What the command prints: what is measured, the table, the verdict, the recommendation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from seqloader.command import words
from seqloader.command.rounds import SPREAD_LIMIT
from seqloader.command.terminal import add_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from seqloader.command.bench.benchmark import Benchmark
    from seqloader.command.bench.figures import Facts, Figures
    from seqloader.command.bench.options import Settings

__all__ = [
    "NO_WORKERS",
    "disturbance",
    "fitting_table",
    "heading",
    "notes",
    "table",
    "table_width",
]

UNKNOWN = "-"
START_UP, SPREAD, RATE_OF_BYTES = "start-\nup (s)", "spread", "MB/s"
EFFICIENCY, CONSUMER, MEMORY = "effi-\nciency", "consumer\n(us/batch)", "memory\n(MB)"
SPARED = (CONSUMER, RATE_OF_BYTES, SPREAD, MEMORY, START_UP, EFFICIENCY)
"""Columns that go first where there is no room for all."""
WIDEST_TABLE = 1000
NO_WORKERS = "no workers were measured: --workers 0,1,2 would show what they bring"


def heading(sequence: Any, settings: Settings, benchmark: Benchmark) -> str:
    """What is measured, on what, and how long."""
    memory_bytes = benchmark.available_bytes
    memory = "" if memory_bytes is None else f", {words.size(memory_bytes)} of memory to be had"
    stretch = (
        f"{settings.seconds:g} s" if settings.batches is None else f"{settings.batches:,} batches"
    )
    cpus = words.count(benchmark.cpus, "CPU")
    return (
        f"{settings.target}: {type(sequence).__name__}; {cpus}{memory}; "
        f"{words.count(settings.rounds, 'round')} of {stretch} each"
    )


def fitting_table(
    figures: Sequence[Figures], settings: Settings, title: str, console: Console
) -> Table:
    """The table, without the columns of `SPARED` for which a terminal is too narrow."""
    for number in range(len(SPARED) + 1):
        grid = table(figures, settings, title, without=SPARED[:number])
        if table_width(grid, console) <= console.width:
            break
    return grid


def table_width(grid: Table, console: Console) -> int:
    """Characters that it takes to show all of it."""
    return console.measure(grid, options=console.options.update(max_width=WIDEST_TABLE)).maximum


def table(
    figures: Sequence[Figures],
    settings: Settings,
    title: str = "",
    without: Sequence[str] = (),
) -> Table:
    """A row for the loop, and one for each number of workers."""
    grid = Table(
        title=title or None,
        title_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    columns = _columns(figures[0], settings)
    columns = {name: cell for name, cell in columns.items() if name not in without}
    for heading_text in columns:
        grid.add_column(heading_text, justify="right", no_wrap=True)
    rows = ([cell(row) for cell in columns.values()] for row in figures)
    add_rows(grid, rows, lambda cell: "yellow" if "UNSTABLE" in cell else "")
    return grid


def _columns(loop: Figures, settings: Settings) -> dict[str, Callable[[Figures], str]]:
    columns: dict[str, Callable[[Figures], str]] = {
        "workers": lambda row: row.name,
        START_UP: lambda row: f"{row.startup_s:.2f}",
        "batches/s": lambda row: words.short(row.batches_per_s),
        SPREAD: _spread,
        RATE_OF_BYTES: lambda row: _known(row.nbytes or None, row.batches_per_s / 1e6),
        EFFICIENCY: lambda row: f"{row.efficiency(loop):.0%}",
    }
    if settings.step_ms is not None:
        columns["waits (s/\n100 steps)"] = lambda row: _known(row.wait_s, 100.0)
    columns |= {
        CONSUMER: lambda row: words.short(row.consumer_s * 1e6),
        "workers\nbusy": lambda row: words.share(row.busy_share) if row.workers else UNKNOWN,
        MEMORY: lambda row: _known(row.memory_bytes, 1e-6),
    }
    return columns


def _known(value: float | None, factor: float) -> str:
    return UNKNOWN if value is None else words.short(value * factor)


def _spread(row: Figures) -> str:
    if row.spread is None:
        return UNKNOWN
    return f"{row.spread:.0%}" + ("\nUNSTABLE" if row.is_unstable else "")


def disturbance(facts: Facts) -> str:
    """What to make of figures that other programs have spoiled."""
    return (
        f"Other programs kept {facts.others:.1f} of {words.count(facts.machine_cpus, 'CPU')} busy "
        "meanwhile: rates are too low. Measure again."
    )


def notes(figures: Sequence[Figures], settings: Settings) -> list[str]:
    """What one must know to read the table."""
    lines = [
        "Medians of the rounds. Efficiency: of the plain loop's rate, times workers. Consumer: CPU "
        "of the thread that iterates. Busy: waiting for a disk or the network counts."
    ]
    if settings.step_ms is not None:
        lines.append(f"A step sleeps {words.duration(settings.step_ms / 1e3)}.")
    if any(row.is_unstable for row in figures):
        lines.append(
            f"UNSTABLE: the rounds lie more than {SPREAD_LIMIT:.0%} of the median apart. Measure "
            "again when nothing else runs, or longer (--seconds, --rounds)."
        )
    return lines
