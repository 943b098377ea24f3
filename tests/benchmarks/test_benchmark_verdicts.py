"""What the benchmark scripts make of their figures: pure, nothing is measured here."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import epochs
import gather
import peers
import permutation
import pytest
import resume
import startup
import transport
import uneven
from harness import measures, script, workloads
from harness.cases import FULL, Case, Run
from harness.figures import Figures, spread
from harness.machine import describe
from harness.report import plain_table, show_failures, show_rows
from harness.verdict import Row

SCRIPTS = [transport, epochs, startup, uneven, permutation, gather, resume]


def run_of(name: str, figures: Mapping[str, float], **facts: object) -> Run:
    engine = str(facts.pop("engine", "seqloader"))
    return Run(Case(name, "stream", engine), figures, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([6.0, 6.5, 7.0], "ok"),
        ([5.0, 5.5, 6.5], "below"),
        ([6.0, 8.0, 20.0], "UNSTABLE (3 of 3 reach it)"),
        ([2.0, 5.0, 9.0], "UNSTABLE (1 of 3 reach it)"),
        ([], "no figure"),
    ],
)
def test_verdict_follows_from_median_and_spread(values: list[float], verdict: str) -> None:
    assert Row("work", "at least 6", values, "x", at_least=6).verdict == verdict


def test_upper_limit_is_met_from_below() -> None:
    row = Row("work", "at most 15 us", [14.0, 15.0, 15.5], "us", at_most=15)

    assert row.verdict == "ok"
    assert row.reached == "15 us"
    assert row.range == "14 ... 15.5 (10%)"


def test_small_figures_are_stable_on_the_scale_of_their_upper_limit() -> None:
    assert Row("work", "at most 2 ms", [0.1, 0.2, 0.3], "ms", at_most=2).verdict == "ok"
    assert Row("work", "at most 2 ms", [0.1, 0.2, 3.0], "ms", at_most=2).verdict == (
        "UNSTABLE (2 of 3 reach it)"
    )


def test_row_without_a_target_has_no_verdict() -> None:
    assert Row("work", "", [1.0, 90.0], "us").verdict == ""


def test_spread_of_values_around_nothing_is_endless() -> None:
    assert spread([-1.0, 0.0, 1.0]) == float("inf")
    assert spread([0.0, 0.0]) == 0.0


def test_ratios_are_taken_within_a_round_and_skip_rounds_without_a_figure() -> None:
    figures = Figures(
        [
            run_of("ours", {"rate": 10.0}),
            run_of("theirs", {"rate": 2.0}),
            run_of("ours", {}, failure="hung", round=2),
            run_of("theirs", {"rate": 3.0}, round=2),
            run_of("ours", {"rate": 80.0}, round=3),
            run_of("theirs", {"rate": 4.0}, round=3),
            run_of("ours", {"rate": 1.0}, round=4),  # theirs was cut after three
        ]
    )

    assert figures.ratios("ours", "theirs", "rate") == [5.0, 20.0]
    assert figures.differences("ours", "theirs", "rate") == [8.0, 76.0]
    assert figures.median("ours", "rate") == 10.0
    assert figures.median("ours", "another") is None


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (run_of("fine", {"rate": 1.0}), 0),
        (run_of("peer hangs", {}, engine="Pool.imap", failure="hung"), 0),
        (run_of("we hang", {}, failure="hung"), 1),
        (run_of("wrong data", {}, engine="Pool.imap", failure="2 for 1", wrong=True), 1),
    ],
    ids=lambda value: value.case.name if isinstance(value, Run) else "",
)
def test_exit_status_tells_wrong_data_and_our_own_failures_only(run: Run, status: int) -> None:
    assert Figures([run]).exit_status() == status


def test_failures_alike_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [run_of("a", {}, failure="hung"), run_of("a", {}, failure="hung")]

    show_failures([*failed, run_of("b", {}, failure="2 for 1", wrong=True)])

    assert capsys.readouterr().err.splitlines() == [
        "FAILED: a (2 times): hung",
        "WRONG DATA: b (1 times): 2 for 1",
    ]


def test_plain_table_aligns_its_columns() -> None:
    lines = plain_table("Title", ["work", "x"], [["a", "12"], ["long name", "3"]]).splitlines()

    assert lines == ["", "Title", "work       x", "---------  --", "a          12", "long name  3"]


@pytest.mark.parametrize("installed", [True, False], ids=["rich", "no rich"])
def test_rows_are_shown_with_and_without_rich(
    installed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "rich.table", None)

    show_rows("Why?", [Row("some work", "at least 6 x", [7.0, 7.5], "x", at_least=6)])

    printed = capsys.readouterr().out
    for cell in ("Why?", "some work", "at least 6 x", "7.25 x", "7 ... 7.5 (7%)", "ok"):
        assert cell in printed


@pytest.mark.parametrize("module", SCRIPTS, ids=lambda module: module.__name__)
@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_every_case_names_what_exists(module: object, quick: bool) -> None:
    for case in module.cases(quick):  # type: ignore[attr-defined]
        measures.find(case.measure)
        workloads.find(case.workload)
        assert case.engine == "none" or peers.find(case.engine)
        assert Case.from_json(case.at(FULL).to_json()) == case.at(FULL)


@pytest.mark.parametrize("module", SCRIPTS, ids=lambda module: module.__name__)
def test_script_without_a_single_figure_still_reports(
    module: object, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [Run(case, {}, "hung") for case in module.cases(True)]  # type: ignore[attr-defined]

    rows = module.rows(Figures(failed), True)  # type: ignore[attr-defined]

    wanted = [row for row in rows if row.wanted]
    assert wanted
    assert {row.verdict for row in wanted} == {"no figure"}


@pytest.mark.parametrize("module", SCRIPTS, ids=lambda module: module.__name__)
def test_every_table_shows_cases_that_are_measured(module: object) -> None:
    names = [case.name for case in module.cases(True)]  # type: ignore[attr-defined]

    shown = module.tables(names)  # type: ignore[attr-defined]

    assert sorted(name for table in shown.values() for name in table) == sorted(names)


def test_saved_results_hold_raw_runs_rows_and_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "BENCHMARKS", tmp_path)
    figures = Figures([run_of("fine", {"rate": 1.0})])
    one = script.Script("one", "Why?", lambda quick: [], lambda f, q: [], lambda names: {})

    path = one._save(figures, [Row("work", "", [1.0], "x")], describe(), quick=True)

    saved = json.loads(path.read_text())
    assert saved["quick"] is True
    assert saved["rows"][0]["values"] == [1.0]
    assert saved["runs"][0]["figures"] == {"rate": 1.0}
    assert set(saved["machine"]) >= {"processor", "cores_usable", "memory_gb", "versions"}


def test_ideal_of_uneven_items_is_bound_by_work_and_by_the_window() -> None:
    items = workloads.Uneven(400)  # 375 of 2 ms and 25 of 40 ms

    assert items.work_s() == pytest.approx(1.75)
    assert items.ideal_s(1, in_flight=32) == pytest.approx(1.75)
    assert items.ideal_s(4, in_flight=1) == pytest.approx(1.75)
    assert items.work_s() / 4 < items.ideal_s(4, in_flight=400) < items.ideal_s(4, in_flight=32)
