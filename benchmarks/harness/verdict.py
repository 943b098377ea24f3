"""Whether a figure reaches what was wanted, and whether this run can tell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.figures import spread

__all__ = ["SPREAD_LIMIT", "Row", "short"]

SPREAD_LIMIT = 0.5
"""A row whose rounds lie further apart than this, as (largest - smallest) / median, is UNSTABLE:
on a machine that does nothing else, repetitions stay well within it. Against an upper limit the
distance counts in units of that limit where the median is smaller: 0.1 ms and 0.3 ms tell equally
well that 2 ms are kept."""


@dataclass(frozen=True)
class Row:
    """One wanted figure, and what each round reached."""

    work: str
    wanted: str
    values: Sequence[float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    basis: str = ""
    """Where the target comes from, if it was measured in the same run."""
    beside: str = ""
    """The same in other words, such as how many times the best peer it is."""

    @property
    def reached(self) -> str:
        """The median and its unit."""
        if not self.values:
            return "no figure"
        beside = f" ({self.beside})" if self.beside else ""
        return f"{short(statistics.median(self.values))} {self.unit}{beside}"

    @property
    def range(self) -> str:
        """The smallest and the largest round, and how far apart that is."""
        if not self.values:
            return ""
        return (
            f"{short(min(self.values))} ... {short(max(self.values))} ({spread(self.values):.0%})"
        )

    @property
    def verdict(self) -> str:
        """ok, below, UNSTABLE (with how many rounds reached it), or nothing without a target."""
        if self.at_least is None and self.at_most is None:
            return ""
        if not self.values:
            return "no figure"
        if self._apart > SPREAD_LIMIT:
            reaching = sum(self._reaches(value) for value in self.values)
            return f"UNSTABLE ({reaching} of {len(self.values)} reach it)"
        return "ok" if self._reaches(statistics.median(self.values)) else "below"

    def to_dict(self) -> dict[str, object]:
        return {
            "work": self.work,
            "wanted": self.wanted,
            "basis": self.basis,
            "reached": self.reached,
            "range": self.range,
            "verdict": self.verdict,
            "values": list(self.values),
            "unit": self.unit,
        }

    @property
    def _apart(self) -> float:
        if self.at_most is None:
            return spread(self.values)
        width = max(self.values) - min(self.values)
        return width / max(self.at_most, abs(statistics.median(self.values)))

    def _reaches(self, value: float) -> bool:
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most


def short(value: float) -> str:
    """Three digits, and no more than the whole number of a large one."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
