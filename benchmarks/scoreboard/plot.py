"""The table as a picture: faults down, peers across, a word in every cell."""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path
from typing import Any, Final

from scoreboard.cells import Grade, table
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
    from seqloader.command.plots import bare_axes, picture

    patch: Any = importlib.import_module("matplotlib.patches").Rectangle
    rows, names = table(results), list(results.contestants)
    size = (1.9 + 0.66 * len(names), 2.4 + 0.4 * len(rows))
    with picture(path, size, 110) as figure:
        axes = figure.subplots()
        bare_axes(axes, grid="", without=("top", "right", "left", "bottom"))
        for y, (_, cells) in enumerate(rows):
            for x, cell in enumerate(cells):
                colour = COLOURS[cell.grade]
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
        grades = [patch((0, 0), 1, 1, color=c, label=grade.value) for grade, c in COLOURS.items()]
        figure.legend(handles=grades, loc="outside lower center", ncols=3, frameon=False)
