"""Whether a figure reaches what was wanted, and whether this run can tell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from seqloader.command.rounds import SPREAD_LIMIT, spread
from seqloader.command.words import three_digits


@dataclass(frozen=True)
class Row:
    """One wanted figure, and what each round reached."""

    work: str
    values: Sequence[float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    words: str = ""
    """The unit with what follows it, where the target is told; empty for the unit alone."""
    told: str = ""
    """What is wanted, where the target does not say it."""
    basis: str = ""
    """Where the target comes from, if it was measured in the same run."""
    beside: str = ""
    """The same in other words, such as how many times the best peer it is."""
    reason: str = ""
    """Why it is not reached, in a sentence or two: shown only while it is not."""

    @property
    def wanted(self) -> str:
        """The target in words; nothing without one."""
        if self.told:
            return self.told
        if self.at_most is not None:
            return f"at most {three_digits(self.at_most)} {self.words or self.unit}"
        if self.at_least is not None:
            return f"at least {three_digits(self.at_least)} {self.words or self.unit}"
        return ""

    @property
    def reached(self) -> str:
        """The median and its unit."""
        if not self.values:
            return "no figure"
        beside = f" ({self.beside})" if self.beside else ""
        return f"{three_digits(statistics.median(self.values))} {self.unit}{beside}"

    @property
    def range(self) -> str:
        """The smallest and the largest round, and how far apart that is."""
        if not self.values:
            return ""
        least, most = map(three_digits, (min(self.values), max(self.values)))
        return f"{least} ... {most} ({spread(self.values):.0%})"

    @property
    def verdict(self) -> str:
        """ok, below, UNSTABLE (with how many rounds reached it), or nothing without a target."""
        if self.at_least is None and self.at_most is None:
            return ""
        if not self.values:
            return "no figure"
        if self._apart > SPREAD_LIMIT:
            reaching = sum(map(self._reaches, self.values))
            return f"UNSTABLE ({reaching} of {len(self.values)} reach it)"
        return "ok" if self._reaches(statistics.median(self.values)) else "below"

    @property
    def excuse(self) -> str:
        """The reason, while there is need of one."""
        return "" if self.verdict in ("", "ok") else self.reason

    def to_dict(self) -> dict[str, object]:
        """As it is stored: with what follows from its values."""
        names = ("work", "wanted", "basis", "reached", "range", "verdict", "unit")
        return {name: getattr(self, name) for name in names} | {"values": list(self.values)}

    @property
    def _apart(self) -> float:
        # In units of an upper limit, where the median is smaller: 0.1 ms and 0.3 ms tell equally
        # well that 2 ms are kept.
        if self.at_most is None:
            return spread(self.values)
        width = max(self.values) - min(self.values)
        return width / max(self.at_most, abs(statistics.median(self.values)))

    def _reaches(self, value: float) -> bool:
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most
