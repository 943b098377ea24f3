"""Small results of a suite, as a run would have stored them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cases import Case, Run
from harness.contestants import Contestant
from harness.machine import Machine
from harness.results import Results

MACHINE = Machine("A processor", 2, None, 16.0, "Linux", "CPython 3.11", {"numpy": "2.4.6"}, 0.1)


def contestant(name: str, **facts: object) -> Contestant:
    defaults = {
        "version": f"{name} 1.0",
        "missing": (),
        "ordered": True,
        "bounded": True,
        "is_yardstick": False,
        "reservation": "",
    }
    return Contestant(name=name, **{**defaults, **facts})  # type: ignore[arg-type]


CONTESTANTS = [
    contestant("loop", is_yardstick=True),
    contestant("quick peer"),
    contestant("slow peer"),
    contestant("unbounded", bounded=False, reservation="no bound at all"),
    contestant("unordered", ordered=False),
    contestant("hanging"),
    contestant("absent", version="", missing=("absent-distribution",)),
    contestant("seqloader"),
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
        is_finished=True,
        runs=[run for each in runs for run in each],
    )
