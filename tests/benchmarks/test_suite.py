"""Which runs the suite makes, a very short one from end to end, and the page of what is stored."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import suite
from chapters import CHAPTERS
from harness import page, plots
from harness.cases import Case, Run
from harness.processes import BENCHMARKS
from harness.results import Results, in_one_line
from harness.schedule import SLOW_S, Schedule
from harness.tables import beside_table, peer_table
from measured import results, runs_of

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

    left = Schedule({"one": [FAST], "two": [LATER]}, 2, budget_s=0, known_s={LATER.name: 7.0})
    assert next(left.turns("one")).round == 1
    left.ran(Run(FAST, {}, took_s=5.0))
    assert left.left_s() == 5.0 + 2 * 7.0


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


# --- the page, from stored results alone -------------------------------------------------

TINY = CHAPTERS[0]
HUNG = Run(Case("tiny: hanging", "stream", "hanging"), {}, "hung: killed after 60 s", hung=True)


@pytest.fixture
def stored(tmp_path: Path) -> Results:
    """Results of one chapter, as they come back from disk."""

    def rates(*values: float) -> list[dict[str, float]]:
        return [{"batches_per_s": value, "consumer_us": value / 7} for value in values]

    measured = results(
        runs_of("loop", "loop", *rates(7123.0), chapter="tiny"),
        runs_of("quick peer", "quick peer", *rates(411.0, 523.0, 487.0), chapter="tiny"),
        runs_of("slow peer", "slow peer", *rates(13.7, 61.9), chapter="tiny"),
        runs_of("unbounded", "unbounded", *rates(977.0), chapter="tiny"),
        [HUNG],
        runs_of("seqloader", "seqloader", *rates(2311.0, 2203.0, 2411.0), chapter="tiny"),
        runs_of("a pipe", "none", {"pipe_write_read_us": 1.37}, chapter="tiny"),
    )
    measured.cuts = {"tiny: unbounded": "one takes 14 s"}
    measured.save(tmp_path / "suite.json")
    return Results.load(tmp_path / "suite.json")


def text_of(measured: Results) -> str:
    return page.text(CHAPTERS, measured, suite.judged_rows(measured))


def test_stored_page_is_that_of_the_stored_results() -> None:
    path = suite.DOCS / "benchmarks.md"

    assert path.read_text(encoding="utf-8") == text_of(Results.load(suite.RESULTS))


def test_every_peer_has_its_line_whatever_befell_it(stored: Results) -> None:
    table = peer_table(TINY, stored)

    notes = {row[0]: row[-1] for row in table.rows}
    assert notes == {
        "loop": "",
        "quick peer": "",
        "slow peer": "UNSTABLE",
        "unbounded": "no bound at all; 1 round only: one takes 14 s",
        "unordered": "not measured",
        "hanging": "hung: killed after 60 s",
        "absent": "not installed: absent-distribution",
        "seqloader": "",
    }
    assert {row[0]: row[1] for row in table.rows}["quick peer"] == "487"
    beside = beside_table(TINY, stored)
    assert beside is not None
    assert [(row[0], "1.37" in row) for row in beside.rows] == [("a pipe", True)]
    lines = page.markdown(table).splitlines()
    assert "| hanging<br><small>hung: killed after 60 s</small> |  |" in "\n".join(lines)
    assert len({line.count(" | ") for line in lines}) == 1


def table_figures(text: str) -> set[str]:
    cells = [cell for line in text.splitlines() if line[:2] == "| " for cell in line.split("|")[2:]]
    numbers = [re.findall(r"(?<![\w.])\d[\d,.]*(?![\w.%])", cell) for cell in cells]
    return {number for each in numbers for number in each}


def test_every_figure_in_the_page_follows_the_results(stored: Results) -> None:
    before = table_figures(text_of(stored))
    for run in stored.runs:
        run.figures.update({name: 3 * value for name, value in run.figures.items()})  # type: ignore[attr-defined]

    after = table_figures(text_of(stored))

    assert {"487", "2,311", "1.37"} <= before
    assert {"1,461", "6,933", "4.11"} <= after
    # Versions, the ratio that is wanted, and those to the best peer are no figures of their own.
    assert before & after <= {"1.0", "1.3", "4", "4.75"}


def test_page_says_what_is_missing(stored: Results) -> None:
    stored.finished = False
    stored.left_out = {"jpeg": "PIL is not installed"}

    text = page.text(CHAPTERS, stored, [])

    assert "interrupted" in text
    assert "The chapter jpeg is missing: PIL is not installed." in text
    assert "Not measured in this run: 1mb, images" in text


def test_bars_are_sorted_and_those_without_a_figure_say_why(stored: Results) -> None:
    bars = plots.bars(TINY, TINY.plots[0], stored)

    labels = [bar.label for bar in bars if bar.values]
    assert labels == ["loop", "seqloader", "unbounded", "quick peer", "slow peer"]
    assert {bar.label: bar.why_not for bar in bars if not bar.values} == {
        "unordered": "not measured",
        "hanging": "hung: killed after 60 s",
        "absent": "not installed: absent-distribution",
    }


def test_pages_are_made_of_stored_results_without_a_run(stored: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    program = (
        "import pathlib, sys, suite\n"
        "suite.run_fresh = None\n"  # nothing is measured
        f"suite.DOCS = pathlib.Path({str(tmp_path)!r})\n"
        "sys.exit(suite.main(['--pages', '--results', str(suite.DOCS / 'suite.json')]))\n"
    )

    # A process of its own: matplotlib keeps the files of its fonts open.
    subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, check=True, timeout=60)

    pictures = re.findall(r"\((benchmarks/[\w-]+\.png)\)", (tmp_path / "benchmarks.md").read_text())
    assert pictures == ["benchmarks/tiny.png"]
    assert (tmp_path / pictures[0]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        ("hung: killed after 60 s", "hung: killed after 60 s"),
        (
            "ended with exit status 1: Traceback:\n  File '/home/me/x.py'\nOSError: no /tmp/a/b.so",
            "ended with exit status 1: OSError: no b.so",
        ),
        ("ended with exit status -9", "ended with exit status -9"),
    ],
)
def test_stored_failures_are_one_line_without_folders(failure: str, line: str) -> None:
    assert in_one_line(failure) == line
