"""The pictures of a report, as SVG. Text in, text out.

A timeline is drawn in columns: what share of a column's time a lane spent on what. So ten batches
and a million look alike, and a picture has at most `COLUMNS` bars for each lane and kind.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seqloader.command.report.facts import Facts

__all__ = ["bars", "curves", "shares", "timeline"]

COLUMNS: Final = 500
WIDTH: Final = 1000
LEFT: Final = 90
LANE: Final = 34
GAP: Final = 8

CONSUMER_KINDS: Final = {
    "wait": "wait",
    "hand over": "hand",
    "loop": "loop",
    "on_epoch_begin": "hook",
    "on_epoch_end": "hook",
}
"""Names of the consumer's spans, and the colour of each; all else is `other`."""


def shares(
    spans: Iterable[tuple[float, float, str, int]], length_s: float, columns: int = COLUMNS
) -> dict[str, list[float]]:
    """For each kind, the share of each column that spans (begin, end, kind, weight) of it take."""
    found: dict[str, list[float]] = {}
    width_s = max(length_s, 1e-9) / columns
    for begin_s, end_s, kind, weight in spans:
        row = found.setdefault(kind, [0.0] * columns)
        first = min(columns - 1, max(0, int(begin_s / width_s)))
        last = min(columns - 1, max(first, int(end_s / width_s)))
        for column in range(first, last + 1):
            inside_s = min(end_s, (column + 1) * width_s) - max(begin_s, column * width_s)
            row[column] += weight * max(0.0, inside_s) / width_s
    return found


def timeline(facts: Facts) -> str:
    """The lanes of consumer and workers, with epochs and deaths."""
    lanes: list[tuple[str, dict[str, list[float]]]] = []
    spans = [
        (s.begin_s, s.end_s, CONSUMER_KINDS.get(s.name, "other"), s.weight) for s in facts.consumer
    ]
    lanes.append(("consumer", shares(spans, facts.length_s)))
    slots = sorted({batch.slot for batch in facts.batches})
    for slot in slots:
        parts: list[tuple[float, float, str, int]] = []
        for batch in facts.batches:
            if batch.slot == slot:
                begin_s = batch.begin_s
                for kind, took_s in (
                    ("take", batch.take_s),
                    ("compute", batch.compute_s),
                    ("encode", batch.encode_s),
                ):
                    parts.append((begin_s, begin_s + took_s, kind, batch.weight))
                    begin_s += took_s
        lanes.append((f"worker {slot}", shares(parts, facts.length_s)))
    height = len(lanes) * (LANE + GAP) + 44
    body = [_lane(name, kinds, 20 + n * (LANE + GAP)) for n, (name, kinds) in enumerate(lanes)]
    body += [_axis(facts.length_s, height - 22), *_epochs(facts, height - 24)]
    places = {slot: 20 + (1 + n) * (LANE + GAP) for n, slot in enumerate(slots)}
    for mark in facts.marks:
        if mark.name == "died" and mark.slot in places:
            x, y = _x(mark.at_s, facts.length_s), places[mark.slot]
            told = escape(f"pid {mark.arguments.get('pid')} died at {mark.at_s:.3f} s")
            body.append(
                f'<g class="death"><title>{told}</title><path d="M{x - 5:.1f} {y}l10 10'
                f'm0 -10l-10 10"/><line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + LANE}"/></g>'
            )
    return _svg(height, "".join(body), "timeline")


def _x(at_s: float, length_s: float) -> float:
    return LEFT + at_s / max(length_s, 1e-9) * (WIDTH - LEFT)


def _lane(name: str, kinds: dict[str, list[float]], top: int) -> str:
    order = ["wait", "hook", "other", "hand", "loop", "take", "compute", "encode"]
    columns = len(next(iter(kinds.values()), []))
    width = (WIDTH - LEFT) / max(columns, 1)
    base = [0.0] * columns
    drawn = [
        f'<text x="{LEFT - 8}" y="{top + LANE / 2 + 4:.0f}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="idle" x="{LEFT}" y="{top}" width="{WIDTH - LEFT}" height="{LANE}"/>'
    ]
    for kind in order:
        path = []
        for column, share in enumerate(kinds.get(kind, [])):
            share = min(share, 1.0 - base[column])
            if share > 0.004:
                y = top + LANE * (1 - base[column] - share)
                x, tall = LEFT + column * width, LANE * share
                path.append(f"M{x:.1f} {y:.1f}h{width:.2f}v{tall:.1f}h-{width:.2f}z")
                base[column] += share
        if path:
            drawn.append(f'<path class="{kind}" d="{"".join(path)}"/>')
    return "".join(drawn)


def _epochs(facts: Facts, bottom: int) -> list[str]:
    drawn, last = [], -100.0
    for epoch in facts.epochs:
        x = _x(epoch.begin_s, facts.length_s)
        if x - last < 3:
            continue  # too many to be told apart
        label = ""
        if x - last > 60 or last < 0:
            label = f'<text x="{x + 3:.1f}" y="14">{escape(epoch.name)}</text>'
        drawn.append(f'<line class="epoch" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>{label}')
        last = x
    return drawn


def _axis(length_s: float, top: int) -> str:
    step_s = _round_step(length_s / 8)
    ticks = []
    at_s = 0.0
    while at_s <= length_s * 1.0001:
        x = _x(at_s, length_s)
        anchor = "end" if x > WIDTH - 20 else "middle"
        ticks.append(f'<text x="{x:.1f}" y="{top + 14}" text-anchor="{anchor}">{at_s:g} s</text>')
        at_s = round(at_s + step_s, 9)
    return "".join(ticks)


def _round_step(about: float) -> float:
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return float(next(power * m for m in (1, 2, 5, 10) if power * m >= about))


def bars(labels: Sequence[str], counts: Sequence[int], name: str) -> str:
    """A histogram: one bar for each label."""
    most, height = max([*counts, 1]), 200
    width = (WIDTH - 20) / max(len(counts), 1)
    drawn = []
    for n, (label, count) in enumerate(zip(labels, counts, strict=True)):
        tall = 140 * count / most
        x = 10 + n * width
        drawn.append(
            f"<g><title>up to {escape(label)}: {count}</title>"
            f'<rect class="compute" x="{x + 1:.1f}" '
            f'y="{160 - tall:.1f}" width="{width - 2:.1f}" height="{tall:.1f}"/></g>'
        )
        if count:
            drawn.append(
                f'<text x="{x + width / 2:.1f}" y="{154 - tall:.1f}" text-anchor="middle">'
                f"{count}</text>"
            )
        drawn.append(
            f'<text x="{x + width / 2:.1f}" y="178" text-anchor="middle">{escape(label)}</text>'
        )
    return _svg(height, "".join(drawn), name)


def curves(
    series: dict[str, list[tuple[float, float]]], length_s: float, unit: str, name: str
) -> str:
    """Curves over time, by the class that colours each; thinned to what can be seen."""
    most = max((value for points in series.values() for _, value in points), default=1.0) or 1.0
    drawn = []
    for kind, points in series.items():
        step = max(1, len(points) // COLUMNS)
        kept = points[::step] + points[-1:]
        path = " ".join(f"{_x(at, length_s):.1f},{150 - 130 * v / most:.1f}" for at, v in kept)
        drawn.append(f'<polyline class="{kind}" points="{path}"/>')
    for value in (0.0, most / 2, most):
        y = 150 - 130 * value / most
        drawn.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.0f} {unit}</text>'
            f'<line class="epoch" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    return _svg(180, "".join(drawn) + _axis(length_s, 156), name)


def _svg(height: int, body: str, name: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">{body}</svg>'
    )
