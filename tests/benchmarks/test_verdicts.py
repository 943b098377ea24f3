"""What scripts and chapters ask, and what they make of figures: pure, nothing is measured here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peers
import pytest
from chapters import CHAPTERS
from chapters.cases import FULL, QUICK
from harness import cases, script, workloads
from harness.cases import Case, Run
from harness.chapter import Chapter, Column, Wanted
from harness.figures import Figures
from harness.judge import Judge
from harness.measures import MEASURES
from harness.processes import BENCHMARKS
from harness.report import show_failures, show_rows
from harness.tables import beside_table, peer_table
from harness.verdict import Row
from measured import CONTESTANTS, results, runs_of

SCRIPTS = [script.described(str(file)) for file in sorted(BENCHMARKS.glob("*.toml"))]
PEERS = [dataclasses.replace(peer, requires=()) for peer in peers.PEERS]  # as if all were there
NOWHERE = "a-distribution-nobody-wrote"

each_script = pytest.mark.parametrize("asking", SCRIPTS, ids=lambda asking: asking.name)
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
full_or_quick = pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])


def run_of(name: str, figures: Mapping[str, float], engine: str = "seqloader", **facts: Any) -> Run:
    return Run(Case(name, "stream", engine), figures, **facts)


# --- rows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("work", [6.0, 6.5, 7.0], "x", at_least=6), "ok"),
        (Row("work", [5.0, 5.5, 6.5], "x", at_least=6), "below"),
        (Row("work", [6.0, 8.0, 20.0], "x", at_least=6), "UNSTABLE (3 of 3 reach it)"),
        (Row("work", [2.0, 5.0, 9.0], "x", at_least=6), "UNSTABLE (1 of 3 reach it)"),
        (Row("work", [], "x", at_least=6), "no figure"),
        (Row("work", [14.0, 15.0, 15.5], "us", at_most=15), "ok"),
        # Small figures are stable on the scale of their upper limit.
        (Row("work", [0.1, 0.2, 0.3], "ms", at_most=2), "ok"),
        (Row("work", [0.1, 0.2, 3.0], "ms", at_most=2), "UNSTABLE (2 of 3 reach it)"),
        (Row("work", [1.0, 90.0], "us"), ""),
    ],
)
def test_verdict_follows_from_median_and_spread(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


def test_row_says_what_was_wanted_and_reached() -> None:
    row = Row("work", [14.0, 15.0, 15.5], "us", words="us a batch", at_most=1500)

    assert (row.wanted, row.reached) == ("at most 1,500 us a batch", "15 us")
    assert row.range == "14 ... 15.5 (10%)"


def test_rows_and_their_reasons_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fine = Row("some work", [7.0, 7.5], "x", at_least=6, reason="The moon was full.")
    poor = Row("other work", [1.0], "x", at_least=6, reason="It rained.")

    show_rows("Why?", [fine, poor])

    printed = capsys.readouterr().out
    cells = ("Why?", "some work", "at least 6 x", "7.25 x", "7 ... 7.5 (7%)", "ok", "It rained.")
    assert all(cell in printed for cell in cells)
    assert "The moon was full." not in printed


def test_ratios_are_taken_within_a_round_and_skip_rounds_without_a_figure() -> None:
    ours = [{"rate": 10.0}, {}, {"rate": 80.0}, {"rate": 1.0}]  # theirs was cut after three
    theirs = [{"rate": 2.0}, {"rate": 3.0}, {"rate": 4.0}]
    runs = [run_of("ours", each, round=number) for number, each in enumerate(ours)]
    runs += [run_of("theirs", each, round=number) for number, each in enumerate(theirs)]
    figures = Figures(runs)

    assert figures.ratios("ours", "theirs", "rate") == [5.0, 20.0]
    assert figures.differences("ours", "theirs", "rate") == [8.0, 76.0]
    assert figures.median("ours", "rate") == 10.0
    assert figures.median("ours", "another") is None


def test_exit_status_tells_wrong_data_and_our_own_failures_only() -> None:
    fine, peer_hangs = run_of("a", {"rate": 1.0}), run_of("b", {}, "Pool.imap", failure="hung")
    we_hang = run_of("c", {}, failure="hung")
    wrong = run_of("d", {}, "Pool.imap", failure="2 for 1", wrong=True)

    assert Figures([fine, peer_hangs]).exit_status() == 0
    assert Figures([fine, we_hang]).exit_status() == 1
    assert Figures([fine, wrong]).exit_status() == 1


def test_failures_alike_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [run_of("a", {}, failure="hung"), run_of("a", {}, failure="hung")]

    show_failures([*failed, run_of("b", {}, failure="2 for 1", wrong=True)])

    lines = capsys.readouterr().err.splitlines()
    assert lines == ["FAILED: a (2 times): hung", "WRONG DATA: b (1 times): 2 for 1"]


# --- who is best -------------------------------------------------------------------------

RATES = {
    "loop": 900.0,
    "quick peer": 10.0,
    "slow peer": 2.0,
    "unbounded": 500.0,
    "unordered": 400.0,
    "seqloader": 33.0,
}


def judge_of(rates: dict[str, float], limit: float | None = None) -> Judge:
    runs = [runs_of(name, name, {"rate": rate}, chapter="c") for name, rate in rates.items()]
    if limit is not None:
        runs.append(runs_of("limit", "none", {"most": limit}, chapter="c"))
    return Judge("c", Figures([run for each in runs for run in each]), CONTESTANTS)


def test_best_peer_keeps_order_and_bound_and_is_neither_yardstick_nor_ours() -> None:
    assert judge_of(RATES).best("rate") == ("quick peer", 10.0)
    assert judge_of(RATES).best("rate", lowest=True) == ("slow peer", 2.0)
    assert judge_of({"seqloader": 3.0, "loop": 9.0}).best("rate") is None


@pytest.mark.parametrize(
    ("limit", "wanted", "basis"),
    [
        (None, 30.0, "3 x quick peer at 10 = 30"),
        (20.0, 17.0, "3 x quick peer at 10 = 30; 0.85 x the limit of 20 = 17 (counts)"),
        (100.0, 30.0, "3 x quick peer at 10 = 30 (counts); 0.85 x the limit of 100 = 85"),
    ],
    ids=["no limit", "limit below", "limit above"],
)
def test_multiple_of_the_best_peer_is_wanted_or_most_of_the_limit_where_that_is_less(
    limit: float | None, wanted: float, basis: str
) -> None:
    work = Wanted("work", "/s", Column("rate"), times_best=3, limit=("limit", "most"))
    row = work.row(judge_of(RATES, limit))

    assert row.at_least == pytest.approx(wanted)
    assert row.basis == basis
    assert row.reached == "33 /s (3.3 x quick peer)"
    assert row.verdict == "ok"


def test_cost_must_not_exceed_the_best_peer_and_without_any_there_is_no_target() -> None:
    cost = Wanted("work", "ms", Column("rate", scale=1e-3), at_most_best=True)
    row = cost.row(judge_of(RATES))
    alone = Wanted("work", "/s", Column("rate"), times_best=3).row(judge_of({"seqloader": 3.0}))

    assert row.at_most == pytest.approx(0.002)
    assert (row.basis, row.verdict) == ("as slow peer", "below")
    assert (alone.at_least, alone.verdict) == (None, "")
    assert "none brought a figure" in alone.wanted


# --- scripts -----------------------------------------------------------------------------


def check_names(case: Case) -> None:
    assert case.measure in MEASURES
    assert workloads.find(case.workload)
    assert case.engine == "none" or peers.find(case.engine)
    assert Case.from_json(case.to_json()) == case


@each_script
@full_or_quick
def test_script_names_what_exists_and_reports_without_a_single_figure(
    asking: script.Script, quick: bool
) -> None:
    asked = asking.cases(quick)
    for case in asked:
        check_names(case.at(cases.FULL))

    rows = asking.rows(Figures([Run(case, {}, "hung") for case in asked]), quick)

    assert {row.verdict for row in rows if row.wanted} == {"no figure"}
    names = [case.name for case in asked]
    shown = [name for table in asking.tables(names).values() for name in table]
    assert sorted(shown) == sorted(names)


def test_script_measures_what_is_installed_and_stores_runs_rows_and_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {
        "header": "Why?",
        "cases": [
            {"name": "here", "measure": "own_cost", "requires": "psutil"},
            {"name": "away", "measure": "own_cost", "requires": NOWHERE},
        ],
        "rows": [{"work": "work", "figure": "check_us", "label": "here", "unit": "us"}],
        "tables": {"A table": [""]},
    }
    one = script.Script("one", content)
    monkeypatch.setattr(script, "BENCHMARKS", tmp_path / "benchmarks")

    assert one.main(["--quick", "--save"]) == 0

    printed = capsys.readouterr().out
    assert f"{NOWHERE} is not installed; left out: away" in printed
    assert "A table" in printed
    [path] = (tmp_path / "benchmarks" / "results").iterdir()
    saved = json.loads(path.read_text())
    assert saved["quick"] is True
    assert [(run["case"], run["round"]) for run in saved["runs"]] == [
        ("here", n) for n in (1, 2, 3)
    ]
    assert all(run["took_s"] > 0 for run in saved["runs"])
    assert saved["rows"][0]["values"] == [run["figures"]["check_us"] for run in saved["runs"]]
    assert list(saved["machine"]["versions"]) == ["seqloader", "numpy", "psutil"]


def test_script_that_cannot_measure_here_says_why_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert script.Script("one", {"header": "Why?"}, lambda: "there is no GPU").main([]) == 2
    assert capsys.readouterr().err == "Nothing was measured: there is no GPU.\n"


# --- chapters ----------------------------------------------------------------------------


@each_chapter
@full_or_quick
def test_chapter_names_what_exists_and_judges_without_a_single_figure(
    chapter: Chapter, quick: bool
) -> None:
    asked = chapter.cases(quick, PEERS)
    for case in asked:
        check_names(case)
        assert case.name.startswith(f"{chapter.name}: ")
        assert case.time_limit_s >= (QUICK if quick else FULL).time_limit_s

    rows = chapter.rows(Judge(chapter.name, Figures([]), CONTESTANTS, quick))

    assert len({case.name for case in asked}) == len(asked)
    assert {row.reached for row in rows} <= {"no figure"}
    assert "ok" not in {row.verdict for row in rows}


@each_chapter
def test_chapter_asks_every_competitor_and_has_a_line_for_each(chapter: Chapter) -> None:
    competitors = {peer.name for peer in PEERS if not peer.is_yardstick}
    assert {case.engine for case in chapter.cases(False, PEERS)} >= competitors
    assert set(chapter.quick_peers or []) <= {peer.name for peer in PEERS}

    table = peer_table(chapter, results())

    names = [each.name for each in CONTESTANTS if not each.is_yardstick]
    assert [row[0] for row in table.rows] == names
    assert all(row[-1] for row in table.rows)
    assert beside_table(chapter, results()) is None


def test_every_peer_is_somewhere_in_a_quick_suite() -> None:
    names = {peer.name for peer in PEERS}
    engines = set()
    for chapter in CHAPTERS:
        asked = {case.engine for case in chapter.cases(True, PEERS)}
        engines |= asked & set(chapter.quick_peers or names)

    assert engines == names
