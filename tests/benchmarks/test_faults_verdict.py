"""What the fault scoreboard makes of the facts of a trial: pure, nothing is started here."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from harness.processes import BENCHMARKS
from peers import Peer
from scoreboard import blows, victims
from scoreboard.account import Account, scrub
from scoreboard.catalogue import FAULTS, Fault, Rule, find
from scoreboard.facts import Facts, Raised, Trial
from scoreboard.trials import plan
from scoreboard.verdict import Outcome, good_outcome, is_clear, judge, worst

COMPLETE, CLEAR, UNCLEAR = Outcome.COMPLETE, Outcome.CLEAR, Outcome.UNCLEAR
LEAK, HANG, WRONG, UNTRIED = Outcome.LEAK, Outcome.HANG, Outcome.WRONG, Outcome.UNTRIED

GO_ON = find("worker killed in __getitem__")
NO_GUARD = find("no __main__ guard")

DEATH = Raised("RuntimeError", text="RuntimeError: DataLoader worker (pid 12) is killed by signal")
RAW = Raised("EOFError", text="EOFError: ")
TOLD = Raised("WorkerError", text="WorkerError: TornPage: page 7 is torn, on shelf north")
OWN = Raised("TornPage", text="TornPage: whatever it says", own=True)
RAISED = {"DEATH": DEATH, "RAW": RAW, "TOLD": TOLD, "OWN": OWN}
PINNED = tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))


def facts(**values: Any) -> Facts:
    """Of a trial that went well, but for what is given."""
    return dataclasses.replace(Facts(length=40, delivered=(40,), whole=True), **values)


def outcome(fault: Fault, **values: Any) -> Outcome:
    return judge(facts(**values), fault).outcome


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_wrong_data_counts_before_a_hang_before_a_leak_before_the_rest(fault: Fault) -> None:
    bad: dict[str, Any] = {"raised": RAW, "whole": False, "exit_status": 9}
    leak = {**bad, "left_processes": ("1 x worker",)}
    hang = {**leak, "hung": True, "exit_status": None}
    wrong = {**hang, "wrong": "batch 2 came where batch 3 was due"}

    assert outcome(fault, **wrong) is WRONG
    assert outcome(fault, **hang) is HANG
    assert outcome(fault, **leak) is LEAK
    assert outcome(fault, left_files=("/dev/shm/psm_1",)) is LEAK
    # What never fell is not judged.
    assert outcome(fault, struck=False) is UNTRIED
    assert outcome(fault, struck=False, hung=True) is UNTRIED
    assert outcome(fault, struck=False, raised=RAW) is UNTRIED
    assert outcome(fault, trouble="not possible here") is UNTRIED


@pytest.mark.parametrize(
    ("fault", "values"),
    [(name, values) for name, tried in PINNED["rules"].items() for values in tried],
    ids=str,
)
def test_outcome_follows_from_rule_and_facts(fault: str, values: dict[str, Any]) -> None:
    given = {k: RAISED.get(v, v) if isinstance(v, str) else v for k, v in values.items()}
    expected = Outcome[values["outcome"]]
    del given["outcome"]

    assert outcome(find(fault), **given) is expected


@pytest.mark.parametrize("text", PINNED["errors"]["clear"] + PINNED["errors"]["unclear"])
def test_errors_are_clear_if_they_tell_what_happened(text: str) -> None:
    raised = Raised(text.partition(":")[0], text=text)

    assert is_clear(raised, worker_pids=[4711]) is (text in PINNED["errors"]["clear"])


def test_worst_outcome_of_several_trials_counts_and_untried_ones_do_not() -> None:
    assert worst([COMPLETE, CLEAR, COMPLETE]) is CLEAR
    assert worst([LEAK, HANG, UNCLEAR]) is HANG
    assert worst([HANG, WRONG]) is WRONG
    assert worst([UNTRIED, COMPLETE]) is COMPLETE
    assert worst([UNTRIED]) is UNTRIED


def test_good_outcome_is_an_error_only_where_nothing_better_is_possible() -> None:
    errors = [fault.name for fault in FAULTS if good_outcome(fault) is not COMPLETE]

    assert errors == ["poison index"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_names_what_exists(fault: Fault) -> None:
    assert (BENCHMARKS / "scoreboard" / "programs" / f"{fault.program}.py").exists()
    assert issubclass(getattr(victims, fault.sequence), victims.Numbered)
    assert not fault.blow or callable(getattr(blows, fault.blow))
    assert fault.done.endswith(".")
    assert fault.good.endswith(".")
    assert (fault.rule is Rule.RAISE) == bool(fault.raises)
    assert find(fault.name) is fault


def test_events_become_facts() -> None:
    account = Account(find("exception with two arguments"), begun=100.0)
    for event in (
        {"event": "opening", "at": 100.1, "options": {"timeout_s": 2.0}},
        {"event": "ready", "at": 101.0},
        {"event": "epoch", "at": 101.0},
        {"event": "batch", "at": 101.2},
        {"event": "raised", "at": 101.5, "type": "E", "message": "m", "text": "E: m", "own": True},
        {"event": "again", "at": 101.6},
        {"event": "epoch", "at": 101.6},
        {"event": "raised", "at": 102.0, "type": "F", "message": "", "text": "F: ", "own": False},
        {"event": "closing", "at": 102.0},
    ):
        account.add(event)

    seen = account.facts(
        status=0,
        ended=103.0,
        struck=101.25,
        errors=b"Traceback (most recent call last)\nF\n",
        left=(["1 x worker"], []),
        worker_pids=[5],
    )

    assert account.is_ready
    assert seen.options == {"timeout_s": 2.0}
    assert (seen.delivered, seen.whole, seen.again, seen.hung) == ((1, 0), False, True, False)
    assert seen.raised == Raised("E", "m", "E: m", own=True, after_s=0.25)
    assert seen.raised_again == Raised("F", "", "F: ", own=False, after_s=0.75)
    assert (seen.seconds, seen.ended_after_s) == (3.0, 1.75)
    assert (seen.tracebacks, seen.lines, seen.phase) == (1, 2, "closing")
    assert Facts.from_dict(json.loads(json.dumps(dataclasses.asdict(seen)))) == seen


def test_only_what_was_printed_after_leaving_is_noise() -> None:
    account = Account(find("exit with a live iterator"), begun=0.0)
    account.add({"event": "leaving", "at": 1.0, "status": 7, "printed": len(b"before\n")})

    seen = account.facts(
        status=7, ended=1.5, struck=0.0, errors=b"before\nafter\n", left=([], []), worker_pids=[]
    )

    assert (seen.noise, seen.wanted_status, seen.ended_after_s) == ("after\n", 7, 0.5)


def test_stored_texts_name_no_path_of_this_machine() -> None:
    text = scrub(f'File "{BENCHMARKS}/x.py"; /tmp/t-abcd_123/tmp/y; node 10.1.2.3 \x1b[31mred')

    assert text == 'File "<repository>/benchmarks/x.py"; <trial>/tmp/y; node <address> red'


def test_plan_has_what_applies_several_times_where_chance_decides_and_says_how_to_start() -> None:
    loop = Peer("loop", "any", is_yardstick=True)
    pool = Peer("pool", "any", start_methods=("fork", "spawn"))

    assert plan([GO_ON, NO_GUARD], [loop, pool], None) == [
        Trial(GO_ON.name, "pool", 1, 1),
        Trial(NO_GUARD.name, "loop", 1, 1),
        Trial(NO_GUARD.name, "pool", 1, 1, {"start_method": "spawn"}),
    ]
    random = find("worker killed at a random time, 1 MB")
    assert [trial.seed for trial in plan([random], [pool], None)] == [1, 2, 3, 4, 5]
    assert len(plan([random], [pool], 2)) == 2
