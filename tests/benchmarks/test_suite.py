"""Which runs the suite makes and leaves out, and a very short one from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import suite
from harness.cases import Case, Run
from harness.results import Results
from harness.schedule import SLOW_S, Schedule

SHORT = ["--quick", "--only", "tiny", "--peers", "loop", "Pool.imap"]
FAST = Case("one: fast", "stream")
OTHER = Case("one: other", "stream")
ONCE = Case("one: once", "stream", max_rounds=1)
LATER = Case("two: later", "stream")


@pytest.mark.parametrize(
    ("other", "took_s", "hung", "played", "cut"),
    [
        (OTHER, 1.0, False, [FAST, OTHER, FAST, OTHER], None),
        (OTHER, SLOW_S + 10, False, [FAST, OTHER, FAST], f"one takes {SLOW_S + 10:.0f} s"),
        (OTHER, 2.0, True, [FAST, OTHER, FAST], "it hung"),
        (ONCE, 1.0, False, [FAST, ONCE, FAST], None),
    ],
    ids=["fast", "slow", "hung", "once"],
)
def test_cases_take_turns_and_one_that_is_slow_or_hung_is_measured_once_and_marked(
    other: Case, took_s: float, hung: bool, played: list[Case], cut: str | None
) -> None:
    schedule = Schedule({"one": [FAST, other]}, rounds=2, budget_s=1e6)

    turns = []
    for turn in schedule.turns("one"):
        turns.append(turn)
        its_s, its_hung = (1.0, False) if turn.case is FAST else (took_s, hung)
        schedule.ran(Run(turn.case, {}, round=turn.round, took_s=its_s, hung=its_hung))

    assert [turn.case for turn in turns] == played
    assert [turn.round for turn in turns] == [1, 1, 2, 2][: len(played)]
    assert schedule.cuts == ({} if cut is None else {other.name: cut})
    assert schedule.left_s() == 0


def test_rounds_are_cut_where_a_later_chapter_would_go_without_but_never_the_first() -> None:
    known_s = {FAST.name: 10.0, LATER.name: 50.0}
    schedule = Schedule({"one": [FAST], "two": [LATER]}, 3, budget_s=100, known_s=known_s)

    schedule.keep_within_budget("one", after_round=1, elapsed_s=30.0)
    assert schedule.cuts == {}  # 30 behind us, 10 for another round, 50 for the later chapter

    schedule.keep_within_budget("one", after_round=2, elapsed_s=45.0)
    assert schedule.cuts == {FAST.name: "the time of the suite was used up"}

    turns = Schedule({"one": [FAST]}, rounds=2, budget_s=0).turns("one")
    assert next(turns).round == 1


def test_time_left_follows_what_runs_took() -> None:
    schedule = Schedule({"one": [FAST], "two": [LATER]}, 2, budget_s=1e6)

    schedule.known_s[LATER.name] = 7.0
    schedule.ran(Run(FAST, {}, took_s=5.0))

    assert schedule.left_s() == 5.0 + 2 * 7.0


def test_suite_measures_shows_and_stores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results" / "suite.json"

    status = suite.main([*SHORT, "--results", str(path)])

    printed = capsys.readouterr()
    assert status == 0
    for words in ("Tiny batches", "Pool.imap", "a pipe, 64 bytes", "What was wanted"):
        assert words in printed.out
    assert "round 1 of 1" in printed.err
    content = json.loads(path.read_text())
    assert content["finished"] is True
    assert content["command"] == f"python benchmarks/suite.py {' '.join(SHORT)}"
    assert str(tmp_path) not in path.read_text()
    measured = Results.load(path)
    assert [run.failure for run in measured.runs] == [None] * len(measured.runs)
    assert measured.figures("tiny").median("tiny: Pool.imap", "batches_per_s")


def test_interrupted_suite_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def interrupted_at_the_second(case: Case) -> Run:
        if measured:
            raise KeyboardInterrupt
        measured.append(case.name)
        return Run(case, {"batches_per_s": 11.0}, took_s=1.0)

    monkeypatch.setattr(suite, "run_fresh", interrupted_at_the_second)
    path = tmp_path / "suite.json"

    status = suite.main([*SHORT, "--results", str(path)])

    left = Results.load(path)
    assert (status, left.finished) == (130, False)
    assert [run.case.name for run in left.runs] == measured
    assert "11" in capsys.readouterr().out


def test_unknown_chapter_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        suite.main(["--only", "nonsense"])

    assert "there are tiny, 1mb, images" in capsys.readouterr().err
