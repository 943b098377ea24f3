"""The page and the plots come from stored results alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import suite
from chapters import CHAPTERS
from chapters.streams import TINY
from harness import page, plots
from harness.cases import Case, Run
from harness.processes import BENCHMARKS
from harness.results import Results, in_one_line
from harness.tables import beside_table, peer_table
from harness.verdict import short
from suite_results import results, runs_of

HUNG = Run(Case("tiny: hanging", "stream", "hanging"), {}, "hung: killed after 60 s", hung=True)


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


def test_results_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    once = stored(tmp_path)

    once.save(tmp_path / "again.json")

    assert Results.load(tmp_path / "again.json") == once
    assert list(tmp_path.glob("*.unfinished")) == []


def test_every_peer_has_its_line_whatever_befell_it(tmp_path: Path) -> None:
    table = peer_table(TINY, stored(tmp_path))

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


def test_what_is_measured_beside_peers_has_a_table_of_its_own(tmp_path: Path) -> None:
    table = beside_table(TINY, stored(tmp_path))

    assert table is not None
    assert [row[0] for row in table.rows] == ["a pipe"]
    assert "1.37" in table.rows[0]


def figures_of(everything: Results) -> set[str]:
    """All that a table may show: medians, spreads, and what rows are judged by."""
    shown = {"6.6", "4", "1.0"}  # the ratio below, the ratio wanted, the version of all peers
    for chapter in CHAPTERS:
        figures = everything.figures(chapter.name)
        for name in figures.names():
            for figure in {each for run in figures.runs for each in run.figures}:
                values = figures.values(name, figure)
                if values:
                    median = figures.median(name, figure)
                    assert median is not None
                    shown |= {short(value) for value in [median, *values, 4 * median]}
                    shown.add(f"{(max(values) - min(values)) / median:.0%}")
    return shown


def table_figures(text: str) -> set[str]:
    cells = [
        cell.strip()
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| :")
        for cell in line.split(" | ")[1:]
    ]
    heads = {"1.3 KB", "over the loop"}
    return {
        number
        for cell in cells
        if cell not in heads
        for number in re.findall(r"(?<![\w.])\d[\d,.]*%?(?![\w.])", cell)
    }


def test_every_figure_in_the_page_is_in_the_results(tmp_path: Path) -> None:
    everything = stored(tmp_path)

    text = page.text(CHAPTERS, everything, suite.judged_rows(everything), {})

    found = table_figures(text)
    assert {"487", "2,311", "1.37", "23%"} <= found
    assert found <= figures_of(everything) | {"4.75"}  # 2,311 / 487, as the row says it


def test_notes_stand_below_the_name_of_their_row(tmp_path: Path) -> None:
    lines = page.markdown(peer_table(TINY, stored(tmp_path))).splitlines()

    assert "| hanging<br><small>hung: killed after 60 s</small> |  |" in "\n".join(lines)
    assert len({line.count(" | ") for line in lines}) == 1


def test_page_follows_its_results(tmp_path: Path) -> None:
    everything = stored(tmp_path)
    before = page.text(CHAPTERS, everything, suite.judged_rows(everything), {})
    for run in everything.runs:
        run.figures.update({name: 3 * value for name, value in run.figures.items()})  # type: ignore[attr-defined]

    after = page.text(CHAPTERS, everything, suite.judged_rows(everything), {})

    assert "6,933 batches/s" in after
    assert "2,311" in before
    assert "2,311" not in after


@pytest.mark.parametrize("rate", [2311.0, 1.0], ids=["reached", "not reached"])
def test_reason_is_shown_only_while_a_row_is_not_reached(tmp_path: Path, rate: float) -> None:
    everything = stored(tmp_path)
    for run in everything.runs:
        if run.case.engine == "seqloader":
            run.figures["batches_per_s"] = rate  # type: ignore[index]
    reasons = {"tiny, 1.3 KB": "The moon was full."}

    text = page.text(CHAPTERS, everything, suite.judged_rows(everything), reasons)

    assert ("The moon was full." in text) is (rate == 1.0)


def test_page_says_what_is_missing(tmp_path: Path) -> None:
    everything = stored(tmp_path)
    everything.is_finished = False
    everything.left_out = {"jpeg": "PIL is not installed"}

    text = page.text(CHAPTERS, everything, [], {})

    assert "interrupted" in text
    assert "The chapter jpeg is missing: PIL is not installed." in text
    assert "Not measured in this run: 1mb, images" in text


def test_bars_are_sorted_and_those_without_a_figure_say_why(tmp_path: Path) -> None:
    bars = plots.bars(TINY, TINY.plots[0], stored(tmp_path))

    assert [bar.label for bar in bars if bar.values] == [
        *("loop", "seqloader", "unbounded", "quick peer", "slow peer")
    ]
    assert {bar.label: bar.why_not for bar in bars if not bar.values} == {
        "unordered": "not measured",
        "hanging": "hung: killed after 60 s",
        "absent": "not installed: absent-distribution",
    }


def test_pages_are_made_of_stored_results_without_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    stored(tmp_path)
    program = (
        "import pathlib, sys, suite\n"
        "suite.run_fresh = None\n"  # nothing is measured
        f"suite.DOCS = pathlib.Path({str(tmp_path)!r})\n"
        "sys.exit(suite.main(['--pages', '--results', str(suite.DOCS / 'suite.json')]))\n"
    )

    # A process of its own: matplotlib keeps the files of its fonts open.
    subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, check=True, timeout=60)

    text = (tmp_path / "benchmarks.md").read_text()
    pictures = re.findall(r"\]\((benchmarks/[\w-]+\.png)\)", text)
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
