"""The figures as a picture: the rate by workers, and what the training loop waits."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter

from seqloader.command import words
from seqloader.command.bench.figures import FED_SHARE
from seqloader.command.plots import bare_axes, picture

if TYPE_CHECKING:
    from pathlib import Path

    from seqloader.command.bench.figures import Facts, Figures
    from seqloader.command.bench.recommendation import Recommendation
    from seqloader.stats.verdict import Verdict

__all__ = ["write_plot"]

INCHES = (11.0, 5.2)
DOTS_PER_INCH = 130
MEASURED, BESIDE, CHOSEN = "#3558b5", "#7a7a7a", "#d9822b"
VERDICT_CHARS = 160
"""In a line under the title."""
HEADROOM = 1.15
MOST_IDEAL = 2.0
"""Times the best rate: as far as the ideal line is shown, so that it does not squeeze the rest."""


def write_plot(
    path: Path,
    target: str,
    facts: Facts,
    verdict: Verdict | None,
    recommendation: Recommendation,
) -> None:
    """Write the picture file `path`."""
    with picture(path, INCHES, DOTS_PER_INCH) as figure:
        rate, wait = figure.subplots(1, 2)
        _rates(rate, facts, recommendation)
        _waits(wait, facts, recommendation)
        figure.suptitle(f"seqloader bench {target}", fontsize=13, fontweight="bold")
        if verdict is not None:
            said = textwrap.fill(f"{verdict.named}: {verdict.seen}", VERDICT_CHARS)
            figure.supxlabel(said, fontsize=8.5, color="#444444")


def _rates(axes: Any, facts: Facts, recommendation: Recommendation) -> None:
    rows = facts.rows
    rates = [row.batches_per_s for row in rows]
    low = [row.batches_per_s - row.slowest_per_s for row in rows]
    high = [row.fastest_per_s - row.batches_per_s for row in rows]
    top = HEADROOM * max(facts.loop.fastest_per_s, *(row.fastest_per_s for row in rows))
    most = rows[-1].workers or 0
    if most:
        ideal = [facts.loop.batches_per_s * workers for workers in (1, most)]
        axes.plot((1, most), ideal, ":", color=BESIDE, label="plain loop x workers")
        top = max(top, min(HEADROOM * ideal[-1], MOST_IDEAL * top))
    axes.axhline(facts.loop.batches_per_s, ls="--", lw=1.2, color=BESIDE, label="plain loop")
    axes.errorbar(
        *(_counts(rows), rates),
        yerr=(low, high),
        fmt="o-",
        color=MEASURED,
        capsize=4,
        label="measured",
    )
    _mark(axes, rows, recommendation, rates)
    _dress(axes, rows, "Batches per second", "batches/s", top)


def _waits(axes: Any, facts: Facts, recommendation: Recommendation) -> None:
    rows = facts.rows
    waits = [row.wait_s for row in rows if row.wait_s is not None]
    if facts.step_s is not None and len(waits) == len(rows):
        title = f"Waiting after each step of {words.duration(facts.step_s)}"
        seconds = waits
        loop_s, fed_s = facts.loop.wait_s or 0.0, FED_SHARE * facts.step_s
    else:
        title = "Time from batch to batch: a shorter step waits"
        seconds = [row.batch_s for row in rows]
        loop_s, fed_s = facts.loop.batch_s, 0.0
    unit = words.time_unit(max(loop_s, *seconds))
    loop, values = loop_s * unit.factor, [each * unit.factor for each in seconds]
    axes.axhline(loop, ls="--", lw=1.2, color=BESIDE, label="plain loop")
    if fed_s:
        label = f"{FED_SHARE:.0%} of the step: fed below"
        axes.axhline(fed_s * unit.factor, ls=":", lw=1.2, color=CHOSEN, label=label)
    axes.plot(_counts(rows), values, "o-", color=MEASURED, label="measured")
    _mark(axes, rows, recommendation, values)
    _dress(axes, rows, title, unit.name, HEADROOM * max(loop, *values))


def _counts(rows: tuple[Figures, ...]) -> list[int]:
    return [row.workers or 0 for row in rows]


def _mark(
    axes: Any, rows: tuple[Figures, ...], recommendation: Recommendation, values: list[float]
) -> None:
    at = _counts(rows).index(recommendation.workers)
    axes.plot(
        recommendation.workers,
        values[at],
        "o",
        ms=14,
        mfc="none",
        mec=CHOSEN,
        mew=2,
        ls="none",
        label="recommended",
    )


def _dress(axes: Any, rows: tuple[Figures, ...], title: str, unit: str, top: float) -> None:
    counts = _counts(rows)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("workers")
    axes.set_ylabel(unit)
    axes.set_xlim(counts[0] - 0.4, counts[-1] + 0.4)
    axes.set_ylim(0, top)
    axes.set_xticks(counts)
    bare_axes(axes, grid="y", without=("top", "right"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.legend(fontsize=8, frameon=False, markerscale=0.7, loc="best")


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}"
