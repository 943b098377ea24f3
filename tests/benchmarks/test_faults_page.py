"""The fault scoreboard's results as they are stored, and the page and picture made of them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import faults
import pytest
from scoreboard import page, plot
from scoreboard.catalogue import FAULTS, find
from scoreboard.cells import Cell, Grade, cell_of
from scoreboard.facts import Facts, Raised
from scoreboard.results import Contestant, Record, Results
from scoreboard.terminal import progress, show_table
from scoreboard.trial import Trial
from scoreboard.verdict import Outcome, Verdict
from scoreboard.words import tell

KILLED = "worker killed in __getitem__"
RANDOM = "worker killed at a random time, 1 MB"
FINE = Facts(length=40, delivered=(40, 40), whole=True)
HUNG = Facts(length=40, delivered=(7,), hung=True, phase="iterating", exit_status=None)
DIED = Raised(
    "DeathError", "worker | 12 `died`\nof something", "DeathError: worker died", False, 0.5
)
CLEAR = Facts(length=40, delivered=(40, 9), raised=DIED)


@pytest.fixture
def results() -> Results:
    held = Results(quick=False)
    contestants = [
        Contestant("loop", "Python 3", is_yardstick=True),
        Contestant("pool", "pool 1.0", reservation="no bound"),
        Contestant("ray", missing=("ray",)),
        Contestant("seqloader", "seqloader 1"),
    ]
    held.begin(contestants, {"processor": "Processor", "cores_usable": 2, "memory_gb": 1.0})
    held.records = [
        Record(Trial(KILLED, "pool"), HUNG),
        Record(Trial(KILLED, "seqloader"), FINE),
        *(Record(Trial(RANDOM, "pool", n), f) for n, f in enumerate((FINE, CLEAR, HUNG), 1)),
        Record(Trial(RANDOM, "seqloader"), FINE),
        Record(Trial("poison index", "seqloader"), CLEAR),
    ]
    return held


def cell(results: Results, peer: str, fault: str) -> Cell:
    return cell_of(results, results.contestants[peer], find(fault))


def test_cell_shows_the_worst_trial_and_counts_it(results: Results) -> None:
    assert cell(results, "pool", RANDOM).text == "1/3 hang"
    assert cell(results, "pool", KILLED).text == "hang"
    assert cell(results, "seqloader", RANDOM).text == "complete"


def test_cell_says_why_there_is_no_trial(results: Results) -> None:
    assert cell(results, "loop", KILLED).text == "does not apply"
    assert cell(results, "ray", KILLED).text == "not installed"
    assert cell(results, "pool", "poison index").text == ""


def test_the_good_outcome_of_a_fault_is_good_whatever_its_word(results: Results) -> None:
    poison = cell(results, "seqloader", "poison index")

    assert (poison.text, poison.grade) == ("clear error", Grade.GOOD)
    assert cell(results, "pool", KILLED).grade is Grade.WORST


def test_contestants_stand_in_their_order_whichever_run_brought_them(results: Results) -> None:
    results.begin([Contestant("early"), Contestant("pool", "pool 2")], {}, ["loop", "early"])

    assert list(results.contestants) == ["loop", "early", "pool", "ray", "seqloader"]
    assert results.contestants["pool"].version == "pool 2"


def test_saved_results_come_back_whole(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results" / "faults.json"

    results.save(path)

    assert Results.load(path) == results
    assert [entry.name for entry in path.parent.iterdir()] == ["faults.json"]


def test_no_results_are_empty_results(tmp_path: Path) -> None:
    assert Results.load(tmp_path / "none.json") == Results()


def test_new_trials_replace_those_of_their_cells_only(results: Results) -> None:
    results.replace([Trial(RANDOM, "pool", 1)])

    assert cell(results, "pool", RANDOM).text == ""
    assert cell(results, "pool", KILLED).text == "hang"
    assert cell(results, "seqloader", RANDOM).text == "complete"


def test_page_has_a_row_and_a_section_for_each_fault_that_was_tried(results: Results) -> None:
    text = page.render(results)

    table = text.partition("## Outcomes")[2].partition("\n##")[0]
    assert "| fault | loop | pool | ray | seqloader |" in table
    assert "(#worker-killed-in-__getitem__) | does not apply | hang | not installed |" in table
    assert re.findall(r"^### (Worker|Poison|Ctrl).*$", text, re.MULTILINE) == [
        "Worker",
        "Worker",
        "Poison",
    ]
    assert "no bound" in table
    assert "not installed: ray" in table
    assert (
        "(1 hang, 1 complete, 1 clear error.) 7 of 40 batches came. Then it hung, in the loop."
        in text
    )


def test_page_is_made_of_the_results_alone(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "faults.json")

    assert page.render(Results.load(tmp_path / "faults.json")) == page.render(results)


def test_every_row_of_the_page_has_as_many_cells_as_its_head(results: Results) -> None:
    width = 0
    for line in page.render(results).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not width or cells in (0, width), line
        width = cells


def test_stored_page_is_that_of_the_stored_results() -> None:
    stored = faults.DOCS / "faults.md"
    if not (stored.exists() and faults.STORED.exists()):
        pytest.skip("no full run is stored")

    assert stored.read_text(encoding="utf-8") == page.render(Results.load(faults.STORED))


def told(facts: Facts, fault: str, outcome: Outcome = Outcome.COMPLETE) -> str:
    return tell(facts, Verdict(outcome, "a reason"), find(fault))


@pytest.mark.parametrize(
    ("fault", "values", "expected"),
    [
        (KILLED, {}, "2 epochs of 40 batches came, whole and in order."),
        (
            KILLED,
            {"whole": False, "delivered": (40, 9), "raised": DIED},
            "9 of 40 batches of epoch 2 came. Then `DeathError` 0.5 s after the fault: "
            "`worker | 12 'died'`.",
        ),
        (
            KILLED,
            {"whole": False, "delivered": (), "exit_status": -7},
            "No epoch began. The program ended by SIGBUS.",
        ),
        (
            KILLED,
            {"whole": False, "delivered": (7,), "wrong": "the epoch ended"},
            "7 of 40 batches came. Wrong data: the epoch ended.",
        ),
        (
            "exception with two arguments",
            {"delivered": (7, 40), "raised": Raised("E", own=True, after_s=0.0), "again": True},
            "7 of 40 batches came. Then `E` right after the fault. The next epoch was complete.",
        ),
        (
            "exception with two arguments",
            {
                "delivered": (7, 3),
                "raised": Raised("E"),
                "again": True,
                "raised_again": Raised("F", "broken"),
            },
            "7 of 40 batches came. Then `E`. Asked for another epoch: `F`: `broken`.",
        ),
        (
            "Ctrl-C",
            {
                "whole": False,
                "delivered": (10,),
                "exit_status": -2,
                "ended_after_s": 0.25,
                "tracebacks": 1,
                "lines": 12,
            },
            "10 of 40 batches came. The program ended 0.2 s later by SIGINT; 1 traceback, 12 lines"
            " on standard error.",
        ),
        (
            "exit with a live iterator",
            {"delivered": (3,), "exit_status": 7, "wanted_status": 7, "ended_after_s": 0.1},
            "3 of 40 batches came. The program ended 0.1 s later with exit status 7; nothing on"
            " standard error.",
        ),
        (
            "consumer killed",
            {"delivered": (10,), "exit_status": -9, "left_processes": ("2 x worker",)},
            "10 of 40 batches came. Left behind: 2 x worker.",
        ),
        (
            "iterators abandoned",
            {
                "delivered": (3,) * 20,
                "counted_before": {"threads": 1},
                "counted_after": {"threads": 2},
            },
            "20 epochs were begun. Afterwards: 2 threads (before: 1).",
        ),
    ],
)
def test_facts_are_told_in_words(fault: str, values: dict[str, Any], expected: str) -> None:
    assert told(dataclasses.replace(FINE, **values), fault) == expected


def test_what_was_not_tried_says_why() -> None:
    assert told(FINE, KILLED, Outcome.UNTRIED) == "Not tried: a reason."


@pytest.mark.leaks_ok(reason="matplotlib keeps its fonts open")
def test_picture_is_drawn(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")

    plot.draw(results, tmp_path / "new" / "picture.png")

    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_every_grade_has_a_colour() -> None:
    assert set(plot.COLOURS) == set(Grade)


def test_table_shows_every_contestant(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    show_table(results)

    printed = capsys.readouterr().out
    for word in ("pool", "seqloader", "poison", "1/3 hang"):
        assert word in printed


def test_without_a_terminal_each_trial_is_a_line(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(2) as show:
        show(results.records[0])
        show(results.records[1])

    assert capsys.readouterr().out.splitlines() == [
        f"1/2 {KILLED}: pool: hang (while iterating)",
        f"2/2 {KILLED}: seqloader: complete",
    ]


def test_exit_status_tells_our_own_failures_only(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    assert faults._own_failures(results, FAULTS) == 0

    results.records.append(Record(Trial(RANDOM, "seqloader", 2), HUNG))

    assert faults._own_failures(results, FAULTS) == 1
    assert f"NOT GOOD: {RANDOM}: 1/2 hang" in capsys.readouterr().err
    assert faults._own_failures(results, [find(KILLED)]) == 0


def test_faults_are_chosen_by_a_part_of_their_name() -> None:
    options = faults._parse(["--quick", "--only", "random", "ctrl", "--peers", "torchdata"])

    chosen = [fault.name for fault in faults._chosen_faults(options)]
    assert len(chosen) == 4
    assert chosen[-1] == "Ctrl-C"
    assert [peer.name for peer in faults._chosen_peers(options)] == ["torchdata"]


def test_quick_run_leaves_out_what_exists_and_nothing_of_ours() -> None:
    options = faults._parse(["--quick"])

    left_out = [fault for fault in FAULTS if fault not in faults._chosen_faults(options)]
    names = [peer.name for peer in faults._chosen_peers(options)]
    assert [fault.name for fault in left_out] == list(faults.NOT_QUICK_FAULTS)
    assert len(names) + len(faults.NOT_QUICK_PEERS) == len(faults.peers.PEERS)
    assert "seqloader" in names
