"""What seqloader must reach, beside the best peer of the same run and the machine's limit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.contestants import OURS, Contestant
from harness.figures import Figures
from seqloader.command.words import three_digits

LIMIT_SHARE = 0.85
"""Of a measured limit is enough, where a multiple of the best peer would be more."""


class Best(NamedTuple):
    """The peer that did best, and its median."""

    label: str
    value: float


@dataclass(frozen=True)
class Judge:
    """The figures of one chapter, and who may be compared with whom."""

    chapter: str
    figures: Figures
    contestants: Sequence[Contestant]
    quick: bool = False

    def best(self, figure: str, *, lowest: bool = False) -> Best | None:
        """The best of the peers that keep order and bound; yardsticks and ours are none."""
        eligible = {each.name for each in self.contestants if each.counts}
        medians = [
            Best(name.removeprefix(f"{self.chapter}: "), median)
            for name, case in self.figures.cases.items()
            if case.engine in eligible and (median := self.figures.median(name, figure)) is not None
        ]
        choose = min if lowest else max
        return choose(medians, key=lambda best: best.value, default=None)

    def values(self, label: str, figure: str) -> list[float]:
        return self.figures.values(self.name(label), figure)

    def name(self, label: str) -> str:
        return f"{self.chapter}: {label}"

    def times_best(
        self, ratio: float, figure: str, label: str = OURS, limit: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """At least `ratio` times the best peer, or most of the limit where that is less.

        The limit is the label and figure of the case that measures what the machine allows. As
        facts of a row.
        """
        values, best = self.values(label, figure), self.best(figure)
        targets = {}
        if best is not None:
            times = ratio * best.value
            at = three_digits(best.value)
            targets[times] = f"{ratio:g} x {best.label} at {at} = {three_digits(times)}"
        most = None if limit is None else self.figures.median(self.name(limit[0]), limit[1])
        if most is not None:
            share, of = LIMIT_SHARE * most, three_digits(most)
            targets[share] = f"{LIMIT_SHARE:g} x the limit of {of} = {three_digits(share)}"
        if not targets:
            return {"told": f"{ratio:g} x the best peer; none brought a figure"}
        wanted = min(targets)
        basis = "; ".join(
            f"{text}{' (counts)' if value == wanted and len(targets) > 1 else ''}"
            for value, text in targets.items()
        )
        beside = ""
        if best is not None and values:
            beside = f"{three_digits(statistics.median(values) / best.value)} x {best.label}"
        return {"at_least": wanted, "basis": basis, "beside": beside}

    def not_above_best(self, figure: str, scale: float) -> dict[str, Any]:
        """At most what the best peer needs, as facts of a row."""
        best = self.best(figure, lowest=True)
        if best is None:
            return {"told": "not above the best peer; none brought a figure"}
        return {"at_most": best.value * scale, "basis": f"as {best.label}"}
