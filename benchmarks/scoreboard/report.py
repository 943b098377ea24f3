"""What one sees while the trials run, and the table at the end: in words and as a picture."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.progress import TaskProgressColumn
from rich.text import Text

from scoreboard.cells import Grade, table
from scoreboard.results import Record, Results
from seqloader.command.terminal import bar, plain_console, print_table

WHITE_ON: Final = (Grade.GOOD, Grade.WORST)


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
        [[f.name, *(Text(c.text, style=c.grade.style) for c in cells)] for f, cells in rows],
        words=names,
        show_lines=True,
        width_redirected=30 + 12 * len(names),
    )


def draw(results: Results, path: Path) -> None:
    """Write the picture. Raises ImportError without matplotlib."""
    from seqloader.command.plots import bare_axes, picture

    patch: Any = importlib.import_module("matplotlib.patches").Rectangle
    rows, names = table(results), list(results.contestants)
    size = (1.9 + 0.66 * len(names), 2.4 + 0.4 * len(rows))
    with picture(path, size, 110) as figure:
        axes = figure.subplots()
        bare_axes(axes, grid="", without=("top", "right", "left", "bottom"))
        for y, (_, cells) in enumerate(rows):
            for x, cell in enumerate(cells):
                colour = cell.grade.colour
                axes.add_patch(patch((x, y), 1, 1, facecolor=colour, edgecolor="white", lw=1.5))
                axes.text(
                    x + 0.5,
                    y + 0.5,
                    textwrap.fill(cell.text, 9),
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    linespacing=1.0,
                    color="white" if cell.grade in WHITE_ON else "#222222",
                )
        axes.set_xlim(0, len(names))
        axes.set_ylim(len(rows), 0)
        axes.xaxis.tick_top()
        axes.set_xticks([x + 0.5 for x in range(len(names))], names, rotation=35, ha="left")
        wrapped = [textwrap.fill(fault.name, 22) for fault, _ in rows]
        axes.set_yticks([y + 0.5 for y in range(len(rows))], wrapped)
        axes.tick_params(length=0, labelsize=9)
        for tick in axes.get_xticklabels():
            tick.set_fontweight("bold" if tick.get_text() == "seqloader" else "normal")
        grades = [patch((0, 0), 1, 1, color=grade.colour, label=grade.words) for grade in Grade]
        figure.legend(handles=grades, loc="outside lower center", ncols=3, frameon=False)
