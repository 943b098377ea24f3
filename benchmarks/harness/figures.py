"""The figures of all runs of a script, looked up by case, and compared round by round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Sequence

from harness.cases import Run

__all__ = ["Figures", "spread"]


def spread(values: Sequence[float]) -> float:
    """How far the values lie apart: (largest - smallest) / median."""
    middle = abs(statistics.median(values))
    width = max(values) - min(values)
    if width == 0:
        return 0.0
    return width / middle if middle else float("inf")


class Figures:
    """Runs of cases that took turns. Values of two cases are compared within a round."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)

    def names(self) -> list[str]:
        """The cases, in the order in which they took their turns."""
        return list(dict.fromkeys(run.case.name for run in self.runs))

    def values(self, case: str, figure: str) -> list[float]:
        """One value for each round that brought one."""
        return list(self._by_round(case, figure).values())

    def median(self, case: str, figure: str) -> float | None:
        values = self.values(case, figure)
        return statistics.median(values) if values else None

    def ratios(self, case: str, other: str, figure: str) -> list[float]:
        """`case` in units of `other`, round by round."""
        return self._compare(case, other, figure, lambda one, two: one / two)

    def differences(self, case: str, other: str, figure: str) -> list[float]:
        """`case` less `other`, round by round."""
        return self._compare(case, other, figure, lambda one, two: one - two)

    def of(self, names: Collection[str]) -> Figures:
        """Of these cases only."""
        return Figures([run for run in self.runs if run.case.name in names])

    def failures(self) -> list[Run]:
        return [run for run in self.runs if run.failure is not None]

    def exit_status(self) -> int:
        """1 for a wrong batch of anyone, and for a run of seqloader that brought no figure.

        A figure below its target is a finding, and a peer that hangs is one too.
        """
        ours = any(run.case.engine == "seqloader" for run in self.failures())
        return int(ours or any(run.wrong for run in self.runs))

    def _by_round(self, case: str, figure: str) -> dict[int, float]:
        return {
            run.round: run.figures[figure]
            for run in self.runs
            if run.case.name == case and figure in run.figures
        }

    def _compare(
        self, case: str, other: str, figure: str, operation: Callable[[float, float], float]
    ) -> list[float]:
        ones, others = self._by_round(case, figure), self._by_round(other, figure)
        return [operation(ones[round_], others[round_]) for round_ in ones if round_ in others]
