"""The figures of all runs of a script, looked up by case, and compared round by round."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Sequence

from harness.cases import Run
from harness.contestants import OURS


class Figures:
    """Runs of cases that took turns. Values of two cases are compared within a round."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self.cases = {run.case.name: run.case for run in runs}
        """In the order in which they took their turns."""

    def values(self, case: str, figure: str) -> list[float]:
        """One value for each round that brought one."""
        return list(self._by_round(case, figure).values())

    def median(self, case: str, figure: str) -> float | None:
        values = self.values(case, figure)
        return statistics.median(values) if values else None

    def ratios(self, case: str, other: str, figure: str) -> list[float]:
        """`case` in units of `other`, round by round."""
        return self._compare(case, other, figure, operator.truediv)

    def differences(self, case: str, other: str, figure: str) -> list[float]:
        """`case` less `other`, round by round."""
        return self._compare(case, other, figure, operator.sub)

    def failures(self) -> list[Run]:
        return [run for run in self.runs if run.failure is not None]

    def exit_status(self) -> int:
        """1 for a wrong batch of anyone, and for a run of seqloader that brought no figure.

        A figure below its target is a finding, and a peer that hangs is one too.
        """
        return int(any(run.wrong or run.case.engine == OURS for run in self.failures()))

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
        return [operation(one, others[number]) for number, one in ones.items() if number in others]
