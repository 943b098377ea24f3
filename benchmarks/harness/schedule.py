"""Which runs are made, how long they will take, and which are left out for want of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from peers import find as find_peer

from harness.cases import Case, Run

SLOW_S = 10.0
"""A case whose run takes longer is measured once, and marked."""

INTERPRETER_S = 0.6
IMPORT_S = {"torch": 2.5, "torchdata": 3, "keras": 3, "ray": 5, "grain": 3, "spdl_core": 0.5}
MEASURE_S = {"bandwidth": 2.5, "epochs": 2, "first_batch": 2.5, "makespan": 6, "own_cost": 0.5}


class Turn(NamedTuple):
    """A run that is due."""

    case: Case
    round: int
    rounds: int


@dataclass
class Schedule:
    """Chapter by chapter, and within each the cases in turn, round by round."""

    chapters: Mapping[str, Sequence[Case]]
    rounds: int
    budget_s: float
    known_s: dict[str, float] = field(default_factory=dict)
    """Seconds that a run of a case took, by its name: in this suite, or in an earlier one."""
    cuts: dict[str, str] = field(default_factory=dict)
    """Why a case has fewer rounds than it was meant to, by its name."""
    done: Counter[str] = field(default_factory=Counter)
    """Rounds of each case that are behind us."""

    def turns(self, chapter: str) -> Iterator[Turn]:
        """The runs of a chapter, one after the other. Tell what `ran` after each of them."""
        for number in range(1, self.rounds + 1):
            for case in self.chapters[chapter]:
                if case.name not in self.cuts and number <= self._rounds_of(case):
                    yield Turn(case, number, self._rounds_of(case))

    def ran(self, run: Run) -> None:
        """Take note of how long it took, and whether another round is worth it."""
        name = run.case.name
        self.known_s[name] = run.took_s
        self.done[name] += 1
        if run.round >= self._rounds_of(run.case):
            return
        if run.hung:
            self.cuts[name] = "it hung"
        elif run.took_s > SLOW_S:
            self.cuts[name] = f"one takes {run.took_s:.0f} s"

    def keep_within_budget(self, chapter: str, after_round: int, elapsed_s: float) -> None:
        """Cut the chapter's further rounds where they would cost a later chapter its first.

        Call it when a round is done. Every case gets one round, however late it is.
        """
        chapters = list(self.chapters)
        later = chapters[chapters.index(chapter) + 1 :]
        needed_s = sum(self.case_s(case) for each in later for case in self.chapters[each])
        coming = [
            case
            for case in self.chapters[chapter]
            if self._rounds_of(case) > after_round and case.name not in self.cuts
        ]
        if elapsed_s + needed_s + sum(map(self.case_s, coming)) > self.budget_s:
            for case in coming:
                self.cuts[case.name] = "the time of the suite was used up"

    def left_s(self) -> float:
        """What all runs that are still to come will take."""
        return sum(
            self.case_s(case) * max(0, self._expected_rounds(case) - self.done[case.name])
            for cases in self.chapters.values()
            for case in cases
        )

    def case_s(self, case: Case) -> float:
        """What a run of this case takes: known, or guessed from what it does."""
        return self.known_s.get(case.name) or _guess_s(case)

    def _expected_rounds(self, case: Case) -> int:
        if case.name in self.cuts or self.case_s(case) > SLOW_S:
            return 1
        return self._rounds_of(case)

    def _rounds_of(self, case: Case) -> int:
        return min(self.rounds, case.max_rounds or self.rounds)


def _guess_s(case: Case) -> float:
    requires = () if case.engine == "none" else find_peer(case.engine).requires
    import_s = max((IMPORT_S.get(name, 0.3) for name in requires), default=0.0)
    measure_s = MEASURE_S.get(case.measure, 0.5 + case.warmup_s + case.measure_s)
    return INTERPRETER_S + measure_s + import_s
