"""The fault scoreboard's results as they are stored, and the page and picture made of them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import faults
import pytest
from harness.contestants import Contestant
from measured import MACHINE
from peers import PEERS
from scoreboard import page
from scoreboard.catalogue import FAULTS, find
from scoreboard.cells import Cell, Grade, cell_of
from scoreboard.facts import Facts, Raised, Trial
from scoreboard.report import draw, progress, show_table
from scoreboard.results import Record, Results
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
    held.begin(contestants, MACHINE)
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


@pytest.mark.parametrize(
    ("peer", "fault", "text", "grade"),
    [
        ("pool", RANDOM, "1/3 hang", Grade.WORST),  # the worst of several trials
        ("pool", KILLED, "hang", Grade.WORST),
        ("seqloader", RANDOM, "complete", Grade.GOOD),
        ("seqloader", "poison index", "clear error", Grade.GOOD),  # good here, whatever its word
        ("loop", KILLED, "does not apply", Grade.NONE),
        ("ray", KILLED, "not installed", Grade.NONE),
        ("pool", "poison index", "", Grade.NONE),
    ],
)
def test_cell_shows_the_worst_trial_or_why_there_is_none(
    results: Results, peer: str, fault: str, text: str, grade: Grade
) -> None:
    assert (cell(results, peer, fault).text, cell(results, peer, fault).grade) == (text, grade)


def test_contestants_stand_in_their_order_whichever_run_brought_them(results: Results) -> None:
    results.begin([Contestant("early"), Contestant("pool", "pool 2")], MACHINE, ["loop", "early"])

    assert list(results.contestants) == ["loop", "early", "pool", "ray", "seqloader"]
    assert results.contestants["pool"].version == "pool 2"


def test_saved_results_and_their_page_come_back_whole(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results" / "faults.json"
    assert Results.load(path) == Results()

    results.save(path)

    assert Results.load(path) == results
    assert page.render(Results.load(path)) == page.render(results)


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
    sections = re.findall(r"^### (Worker|Poison|Ctrl).*$", text, re.MULTILINE)
    assert sections == ["Worker", "Worker", "Poison"]
    assert all(f"\n| {outcome.value} | " in text for outcome in Outcome)  # each with its meaning
    assert "no bound" in table
    assert "not installed: ray" in table
    told = "(1 hang, 1 complete, 1 clear error.) 7 of 40 batches came. Then it hung, in the loop."
    assert told in text
    width = 0
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not width or cells in (0, width), line
        width = cells


def test_stored_page_is_that_of_the_stored_results() -> None:
    page_text = (faults.DOCS / "faults.md").read_text(encoding="utf-8")

    assert page_text == page.render(Results.load(faults.STORED))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # What no stored trial shows: the page pins the words of all others.
        (
            {"whole": False, "delivered": (40, 9), "raised": DIED},
            "9 of 40 batches of epoch 2 came. Then `DeathError` 0.5 s after the fault: "
            "`worker | 12 'died'`.",
        ),
        (
            {"whole": False, "delivered": (), "exit_status": -7},
            "No epoch began. The program ended by SIGBUS.",
        ),
        (
            {"whole": False, "delivered": (7,), "wrong": "the epoch ended"},
            "7 of 40 batches came. Wrong data: the epoch ended.",
        ),
        ({"struck": False}, "Not tried: a reason."),
    ],
)
def test_facts_are_told_in_words(values: dict[str, Any], expected: str) -> None:
    facts = dataclasses.replace(FINE, **values)
    outcome = Outcome.COMPLETE if facts.struck else Outcome.UNTRIED

    assert tell(facts, Verdict(outcome, "a reason"), find(KILLED)) == expected


def test_outcomes_are_stored_as_the_rules_find_them() -> None:
    stored = json.loads(faults.STORED.read_text(encoding="utf-8"))["trials"]

    verdicts = [record.verdict for record in Results.load(faults.STORED).records]

    assert [(v.outcome.value, v.why) for v in verdicts] == [
        (t["outcome"], t["why"]) for t in stored
    ]


@pytest.mark.leaks_ok(reason="matplotlib keeps its fonts open")
def test_picture_is_drawn(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")

    draw(results, tmp_path / "new" / "picture.png")

    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_table_shows_every_contestant_and_each_trial_is_a_line(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(2) as show:
        show(results.records[0])
        show(results.records[1])
    assert capsys.readouterr().out.splitlines() == [
        f"1/2 {KILLED}: pool: hang (while iterating)",
        f"2/2 {KILLED}: seqloader: complete",
    ]

    show_table(results)

    printed = capsys.readouterr().out
    assert all(word in printed for word in ("pool", "seqloader", "poison", "1/3 hang"))


def test_exit_status_tells_our_own_failures_only(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    assert faults.own_failures(results, FAULTS) == 0

    results.records.append(Record(Trial(RANDOM, "seqloader", 2), HUNG))

    assert faults.own_failures(results, FAULTS) == 1
    assert f"NOT GOOD: {RANDOM}: 1/2 hang" in capsys.readouterr().err
    assert faults.own_failures(results, [find(KILLED)]) == 0


def chosen(*arguments: str) -> tuple[list[str], list[str]]:
    options = faults.parse(["--quick", *arguments])
    peers = [peer.name for peer in faults.chosen_peers(options)]
    return [fault.name for fault in faults.chosen_faults(options)], peers


def test_faults_are_chosen_by_a_part_of_their_name() -> None:
    names, peers = chosen("--only", "random", "ctrl", "--peers", "torchdata")

    assert (len(names), names[-1], peers) == (4, "Ctrl-C", ["torchdata"])


def test_quick_run_leaves_out_what_exists_and_nothing_of_ours() -> None:
    names, peers = chosen()

    left_out = [fault.name for fault in FAULTS if fault.name not in names]
    assert left_out == list(faults.NOT_QUICK_FAULTS)
    assert len(peers) + len(faults.NOT_QUICK_PEERS) == len(PEERS)
    assert "seqloader" in peers
