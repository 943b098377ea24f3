"""The page and the plots of the suite come from stored results alone."""

from __future__ import annotations

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
from harness.tables import beside_table, peer_table
from measured import results, runs_of

from seqloader.command.rounds import spread
from seqloader.command.words import three_digits

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


def test_results_come_back_from_disk_as_they_were(stored: Results, tmp_path: Path) -> None:
    stored.save(tmp_path / "again.json")

    assert Results.load(tmp_path / "again.json") == stored


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
    lines = page.markdown(table).splitlines()
    assert "| hanging<br><small>hung: killed after 60 s</small> |  |" in "\n".join(lines)
    assert len({line.count(" | ") for line in lines}) == 1


def test_what_is_measured_beside_peers_has_a_table_of_its_own(stored: Results) -> None:
    table = beside_table(TINY, stored)

    assert table is not None
    assert [row[0] for row in table.rows] == ["a pipe"]
    assert "1.37" in table.rows[0]


def figures_of(everything: Results) -> set[str]:
    """All that a table may show: medians, spreads, and what rows are judged by."""
    # The ratio wanted, those that are said of the loop and of the best peer, the version of peers.
    shown = {"4", "6.6", "4.75", "1.0"}
    figures = everything.figures("tiny")
    for name in figures.cases:
        for figure in {each for run in figures.runs for each in run.figures}:
            values, median = figures.values(name, figure), figures.median(name, figure)
            if median is not None:
                shown |= {three_digits(value) for value in [median, *values, 4 * median]}
                shown.add(f"{spread(values):.0%}")
    return shown


def table_figures(text: str) -> set[str]:
    rows = [line for line in text.splitlines() if re.match(r"\| [^:]", line)]
    cells = [cell.strip() for row in rows for cell in row.split(" | ")[1:]]
    numbers = [re.findall(r"(?<![\w.])\d[\d,.]*%?(?![\w.])", cell) for cell in cells]
    return {number for each in numbers for number in each}


def test_every_figure_in_the_page_is_in_the_results_and_follows_them(stored: Results) -> None:
    before = text_of(stored)
    found = table_figures(before)
    assert {"487", "2,311", "1.37", "23%"} <= found
    assert found <= figures_of(stored)

    for run in stored.runs:
        run.figures.update({name: 3 * value for name, value in run.figures.items()})  # type: ignore[attr-defined]

    after = text_of(stored)
    assert "6,933 batches/s" in after
    assert "2,311" not in after


@pytest.mark.parametrize("rate", [2311.0, 1.0], ids=["reached", "not reached"])
def test_reason_is_shown_only_while_a_row_is_not_reached(stored: Results, rate: float) -> None:
    for run in stored.runs:
        if run.case.engine == "seqloader":
            run.figures["batches_per_s"] = rate  # type: ignore[index]

    assert ("the busiest of three processes" in text_of(stored)) is (rate == 1.0)


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
