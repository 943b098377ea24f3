"""What one sees while the trials run, and the table at the end: by rich, or as plain lines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from scoreboard.cells import Grade, table
from scoreboard.results import Record, Results

__all__ = ["Progress", "progress", "show_table"]

_STYLES: Final = {
    Grade.GOOD: "green",
    Grade.CLEAR: "cyan",
    Grade.UNCLEAR: "yellow",
    Grade.BAD: "magenta",
    Grade.WORST: "bold red",
    Grade.NONE: "dim",
}


class Progress(Protocol):
    def __call__(self, record: Record) -> None:
        """One trial more is done."""


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """A bar on a terminal; elsewhere a line for each trial."""
    if sys.stderr.isatty():
        try:
            rich_progress: Any = importlib.import_module("rich.progress")
            rich_console: Any = importlib.import_module("rich.console")
        except ImportError:
            pass
        else:
            console = rich_console.Console(stderr=True)
            with rich_progress.Progress(console=console, transient=True) as bar:
                task = bar.add_task("trials", total=total)
                yield lambda record: bar.update(task, advance=1, description=_line(record))
            return
    done = iter(range(1, total + 1))
    yield lambda record: print(f"{next(done)}/{total} {_line(record)}", flush=True)


def show_table(results: Results) -> None:
    """Faults down, peers across."""
    names = list(results.contestants)
    rows = table(results)
    try:
        rich_table: Any = importlib.import_module("rich.table")
        rich_console: Any = importlib.import_module("rich.console")
        rich_text: Any = importlib.import_module("rich.text")
    except ImportError:
        for fault, cells in rows:
            for name, cell in zip(names, cells, strict=True):
                print(f"{fault.name}: {name}: {cell.text}")
        return
    shown = rich_table.Table(title="Faults", title_justify="left", show_lines=True)
    shown.add_column("fault")
    for name in names:
        shown.add_column(name, overflow="fold")
    for fault, cells in rows:
        texts = [rich_text.Text(cell.text, style=_STYLES[cell.grade]) for cell in cells]
        shown.add_row(fault.name, *texts)
    # Redirected output has no width of its own.
    width = None if sys.stdout.isatty() else 30 + 12 * len(names)
    rich_console.Console(width=width).print(shown)


def _line(record: Record) -> str:
    verdict = record.verdict
    why = f" ({verdict.why[:80]})" if verdict.why else ""
    return f"{record.trial.fault}: {record.trial.peer}: {verdict.outcome.value}{why}"
