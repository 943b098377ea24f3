"""The plots of the page: bars that are sorted, with a line where the machine's limit was measured.

Drawn from stored results.
"""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.chapter import Chapter, Plot
from harness.contestants import Contestant
from harness.figures import Figures
from harness.results import Results
from harness.tables import entries
from seqloader.command.words import three_digits

OURS_COLOUR, PEER_COLOUR, YARDSTICK_COLOUR = "#3f51b5", "#9fb0c0", "#dcdcdc"
LIMIT_COLOUR = "#c62828"
LINE_INCHES = 0.27
WIDTH_INCHES = 8.5
MOST_CHARS = 90
LOG_FACTOR = 12.0
"""Values further apart than this are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Bar:
    """What is drawn for one line of a table."""

    label: str
    contestant: Contestant
    values: Sequence[float]
    """One for each round; none where `why_not` says why."""
    why_not: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def colour(self) -> str:
        if self.contestant.is_ours:
            return OURS_COLOUR
        return YARDSTICK_COLOUR if self.contestant.is_yardstick else PEER_COLOUR


def file_name(chapter: Chapter, plot: Plot) -> str:
    """Of the picture in the folder of the pictures."""
    return f"{chapter.name}{plot.suffix}.png"


def draw(chapter: Chapter, results: Results, folder: Path) -> None:
    """Write the chapter's plots into the folder, those that have anything to show."""
    for plot in chapter.plots:
        shown = bars(chapter, plot, results)
        if any(bar.values for bar in shown):
            path = folder / file_name(chapter, plot)
            _draw(chapter, plot, shown, results.figures(chapter.name), path)


def bars(chapter: Chapter, plot: Plot, results: Results) -> list[Bar]:
    """Best first; those that brought no figure last, with the reason."""
    figures = results.figures(chapter.name)
    found = []
    for entry in entries(chapter, results):
        values = plot.column.values(figures, chapter.name, entry.label)
        if plot.column.less == entry.label:
            values = []  # the difference to itself
        why_not = "" if values else "; ".join(entry.notes)
        found.append(Bar(entry.label, entry.contestant, values, why_not))
    measured = [bar for bar in found if bar.values]
    measured.sort(key=lambda bar: bar.median, reverse=plot.more_is_better)
    return [*measured, *(bar for bar in found if not bar.values and bar.why_not)]


def _draw(chapter: Chapter, plot: Plot, shown: Sequence[Bar], figures: Figures, path: Path) -> None:
    from seqloader.command.plots import bare_axes, picture

    with picture(path, (WIDTH_INCHES, 1.3 + LINE_INCHES * len(shown)), 130) as figure:
        axes = figure.subplots()
        limit_figure = plot.limit_figure or plot.column.figure
        median = figures.median(f"{chapter.name}: {plot.limit}", limit_figure)
        limit = None if median is None else median * plot.column.scale
        lowest, highest = _range(shown, limit)
        axes.set_xlim(lowest, highest)
        if lowest > 0:
            axes.set_xscale("log")
            ticker: Any = importlib.import_module("matplotlib.ticker")
            axes.xaxis.set_major_formatter(
                ticker.FuncFormatter(lambda value, _: three_digits(value))
            )
            axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        for place, bar in enumerate(shown):
            if bar.values:
                _draw_bar(axes, place, bar, lowest, highest)
            else:
                _write(axes, place, bar.why_not)
        if limit is not None:
            axes.axvline(limit, color=LIMIT_COLOUR, linewidth=1.2, linestyle="--")
        axes.set_yticks(range(len(shown)), [bar.label for bar in shown], fontsize=9)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        better = f"{'more' if plot.more_is_better else 'less'} is better"
        words = f"{better}{', logarithmic' if lowest > 0 else ''}"
        axes.set_xlabel(f"{plot.column.heading} ({words})", fontsize=9)
        axes.set_title(_title(chapter, plot, shown, limit), fontsize=10, loc="left")
        axes.tick_params(axis="y", length=0)
        bare_axes(axes, grid="x", without=("top", "right", "left"))
        for label, bar in zip(axes.get_yticklabels(), shown, strict=True):
            label.set_fontweight("bold" if bar.contestant.is_ours else "normal")


def _write(axes: Any, place: int, text: str) -> None:
    axes.annotate(
        text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS - 1]}…",
        (0, place),
        xycoords=("axes fraction", "data"),
        **_BESIDE,
        style="italic",
        color="#666666",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        zorder=3,
    )


_BESIDE: dict[str, Any] = {
    "xytext": (4, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 8,
}


def _draw_bar(axes: Any, place: int, bar: Bar, lowest: float, highest: float) -> None:
    median, least, most = max(bar.median, lowest), min(bar.values), max(bar.values)
    hatched = {"hatch": "///", "edgecolor": "white"} if bar.contestant.reservation else {}
    length = median - lowest
    axes.barh(place, length, left=lowest, height=0.72, color=bar.colour, **hatched)
    if most > least:
        axes.plot([max(least, lowest), most], [place, place], color="#222222", linewidth=1.1)
    at = (min(max(most, median), highest), place)
    axes.annotate(three_digits(bar.median), at, **_BESIDE, color="#222222")


def _range(shown: Sequence[Bar], limit: float | None) -> tuple[float, float]:
    """The axis: from zero, or logarithmic, from a power of ten, where values lie far apart."""
    values = [value for bar in shown for value in bar.values]
    highest = max([*values, *([] if limit is None else [limit])])
    medians = [bar.median for bar in shown if bar.values]
    if min(values) > 0 and max(medians) > LOG_FACTOR * min(medians):
        lowest = 10.0 ** math.floor(math.log10(min(values)) - 0.1)
        return lowest, highest * (highest / lowest) ** 0.1
    return 0.0, max(highest, 1e-9) * 1.12


def _title(chapter: Chapter, plot: Plot, shown: Sequence[Bar], limit: float | None) -> str:
    explained = [] if limit is None else [f"dashed: {plot.limit_words}"]
    if any(bar.values and bar.contestant.reservation for bar in shown):
        explained.append("hatched: with a reservation, see the table")
    return "\n".join(
        filter(None, [f"{chapter.title}: {plot.column.heading}", "; ".join(explained)])
    )
