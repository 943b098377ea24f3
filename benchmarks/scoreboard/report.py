"""What one sees while the trials run, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import TaskProgressColumn
from rich.text import Text

from scoreboard.cells import Grade, table
from scoreboard.results import Record, Results
from seqloader.command.terminal import bar, plain_console, print_table

__all__ = ["progress", "show_table"]

_STYLES: Final = {
    Grade.GOOD: "green",
    Grade.CLEAR: "cyan",
    Grade.UNCLEAR: "yellow",
    Grade.BAD: "magenta",
    Grade.WORST: "bold red",
    Grade.NONE: "dim",
}


@contextmanager
def progress(total: int) -> Iterator[Callable[[Record], None]]:
    """To be told of each trial that is done: a bar on a terminal, elsewhere a line for each."""
    done = iter(range(1, total + 1))
    with bar(plain_console(0, stderr=True), total, TaskProgressColumn()) as draw:

        def show(record: Record) -> None:
            number, verdict = next(done), record.verdict
            why = f" ({verdict.why[:80]})" if verdict.why else ""
            line = f"{record.trial.fault}: {record.trial.peer}: {verdict.outcome.value}{why}"
            if draw is None:
                print(f"{number}/{total} {line}", flush=True)
            else:
                draw(line, number)

        yield show


def show_table(results: Results) -> None:
    """Faults down, peers across."""
    rows = table(results)
    names = list(results.contestants)
    print_table(
        "Faults",
        ["fault", *names],
        [[f.name, *(Text(c.text, style=_STYLES[c.grade]) for c in cells)] for f, cells in rows],
        words=names,
        show_lines=True,
        width_redirected=30 + 12 * len(names),
    )
