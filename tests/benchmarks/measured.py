"""Small results, as a run would have stored them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cases import Case, Run
from harness.contestants import Contestant
from harness.results import Results

from seqloader.command.machine import Machine

MACHINE = Machine("A processor", 2, None, 16.0, "Linux", "CPython 3.11", {"numpy": "2.4.6"}, 0.1)
CONTESTANTS = [
    Contestant("loop", "loop 1.0", is_yardstick=True),
    Contestant("quick peer", "quick peer 1.0"),
    Contestant("slow peer", "slow peer 1.0"),
    Contestant("unbounded", "unbounded 1.0", bounded=False, reservation="no bound at all"),
    Contestant("unordered", "unordered 1.0", ordered=False),
    Contestant("hanging", "hanging 1.0"),
    Contestant("absent", missing=("absent-distribution",)),
    Contestant("seqloader", "seqloader 1.0"),
]


def runs_of(label: str, engine: str, *rounds: Mapping[str, float], chapter: str) -> list[Run]:
    case = Case(f"{chapter}: {label}", "stream", engine)
    return [Run(case, figures, round=number) for number, figures in enumerate(rounds, start=1)]


def results(*runs: list[Run]) -> Results:
    return Results(
        MACHINE,
        CONTESTANTS,
        command="python benchmarks/suite.py",
        quick=False,
        measured="2026-01-02T03:04:05Z",
        finished=True,
        runs=[run for each in runs for run in each],
    )
