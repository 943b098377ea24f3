"""What seqloader must reach, beside the best peer of the same run and the machine's limit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.contestants import OURS, Contestant
from harness.figures import Figures
from harness.verdict import Row, short

__all__ = ["LIMIT_SHARE", "Best", "Judge"]

LIMIT_SHARE = 0.85
"""Of a measured limit is enough, where a multiple of the best peer would be more."""


@dataclass(frozen=True)
class Best:
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
            for name, engine in self._engines().items()
            if engine in eligible and (median := self.figures.median(name, figure)) is not None
        ]
        if not medians:
            return None
        choose = min if lowest else max
        return choose(medians, key=lambda best: best.value)

    def values(self, label: str, figure: str) -> list[float]:
        return self.figures.values(self.name(label), figure)

    def name(self, label: str) -> str:
        return f"{self.chapter}: {label}"

    def times_best(
        self,
        work: str,
        ratio: float,
        figure: str,
        unit: str,
        *,
        label: str = OURS,
        limit: tuple[str, str] | None = None,
    ) -> Row:
        """At least `ratio` times the best peer, or most of the limit where that is less.

        Args:
            work: What the row is called.
            ratio: How many times the best peer.
            figure: Which figure, the more the better.
            unit: Of the figure.
            label: Our case.
            limit: Label and figure of the case that measures what the machine allows.
        """
        values = self.values(label, figure)
        targets = self._targets(ratio, figure, limit)
        if not targets:
            return Row(work, f"{ratio:g} x the best peer; none brought a figure", values, unit)
        best = self.best(figure)
        wanted = min(targets)
        basis = "; ".join(
            f"{text}{' (counts)' if value == wanted and len(targets) > 1 else ''}"
            for value, text in targets.items()
        )
        best = self.best(figure)
        beside = ""
        if best is not None and values:
            beside = f"{short(statistics.median(values) / best.value)} x {best.label}"
        words = f"at least {short(wanted)} {unit}"
        return Row(work, words, values, unit, at_least=wanted, basis=basis, beside=beside)

    def not_above_best(self, work: str, figure: str, unit: str, scale: float) -> Row:
        """At most what the best peer needs."""
        values = [value * scale for value in self.values(OURS, figure)]
        best = self.best(figure, lowest=True)
        if best is None:
            return Row(work, "not above the best peer; none brought a figure", values, unit)
        wanted = best.value * scale
        words = f"at most {short(wanted)} {unit}"
        return Row(work, words, values, unit, at_most=wanted, basis=f"as {best.label}")

    def _targets(
        self, ratio: float, figure: str, limit: tuple[str, str] | None
    ) -> dict[float, str]:
        targets = {}
        best = self.best(figure)
        if best is not None:
            reached = short(best.value)
            targets[ratio * best.value] = (
                f"{ratio:g} x {best.label} at {reached} = {short(ratio * best.value)}"
            )
        if limit is not None:
            most = self.figures.median(self.name(limit[0]), limit[1])
            if most is not None:
                targets[LIMIT_SHARE * most] = (
                    f"{LIMIT_SHARE:g} x the limit of {short(most)} = {short(LIMIT_SHARE * most)}"
                )
        return targets

    def _engines(self) -> dict[str, str]:
        return {run.case.name: run.case.engine for run in self.figures.runs}
