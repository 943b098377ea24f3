"""The table as a picture: faults down, peers across, a word in every cell."""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path
from typing import Any, Final

from scoreboard.cells import Cell, Grade, table
from scoreboard.results import Results

__all__ = ["draw"]

COLOURS: Final = {  # they differ in lightness too
    Grade.GOOD: "#3a9a5b",
    Grade.CLEAR: "#cfe3a4",
    Grade.UNCLEAR: "#f6d55c",
    Grade.BAD: "#e8813a",
    Grade.WORST: "#a81e2c",
    Grade.NONE: "#eeeeee",
}
WHITE_ON: Final = (Grade.GOOD, Grade.WORST)


def draw(results: Results, path: Path) -> None:
    """Write the picture. Raises ImportError without matplotlib."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    rows = table(results)
    names = list(results.contestants)
    size = (1.9 + 0.66 * len(names), 2.4 + 0.4 * len(rows))
    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    for y, (_, cells) in enumerate(rows):
        for x, cell in enumerate(cells):
            _draw_cell(pyplot, axes, x, y, cell)
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(rows), 0)
    axes.xaxis.tick_top()
    axes.set_xticks([x + 0.5 for x in range(len(names))], names, rotation=35, ha="left")
    axes.set_yticks(
        [y + 0.5 for y in range(len(rows))], [textwrap.fill(fault.name, 22) for fault, _ in rows]
    )
    axes.tick_params(length=0, labelsize=9)
    for tick in axes.get_xticklabels():
        tick.set_fontweight("bold" if tick.get_text() == "seqloader" else "normal")
    for side in axes.spines.values():
        side.set_visible(False)
    handles = [
        pyplot.Rectangle((0, 0), 1, 1, color=colour, label=grade.value)
        for grade, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_cell(pyplot: Any, axes: Any, x: int, y: int, cell: Cell) -> None:
    colour = COLOURS[cell.grade]
    axes.add_patch(pyplot.Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", lw=1.5))
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
