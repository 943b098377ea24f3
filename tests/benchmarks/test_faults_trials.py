"""Trials of the fault scoreboard in real processes: what fell, what was seen, what is left."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest
from scoreboard.catalogue import find
from scoreboard.facts import Facts
from scoreboard.own_shm import command_in_own_shm, namespace
from scoreboard.trial import Trial
from scoreboard.trials import hold
from scoreboard.verdict import Outcome, judge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watchers need Linux")

MARK = "FAULTS_TEST"


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of every process that the test starts, however far away."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return value


def outcome_of(trial: Trial) -> tuple[Outcome, Facts]:
    facts = hold(trial)
    return judge(facts, find(trial.fault)).outcome, facts


def alive(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_killed_worker_of_seqloader_costs_nothing(mark: str) -> None:
    outcome, facts = outcome_of(Trial("worker killed in __getitem__", "seqloader"))

    assert (outcome, facts.delivered) == (Outcome.COMPLETE, (40, 40))
    assert facts.struck
    assert facts.raised is None
    assert alive(mark) == []


def test_worker_of_seqloader_killed_from_outside_costs_nothing(mark: str) -> None:
    outcome, facts = outcome_of(Trial("all workers killed", "seqloader"))

    assert (outcome, facts.delivered) == (Outcome.COMPLETE, (100, 100))
    assert len(facts.worker_pids) >= 3


def test_loader_that_hangs_is_ended_with_everything_below_it(mark: str) -> None:
    trial = Trial("nothing", "scoreboard_stubs:Hangs", silent_s=1.0)

    outcome, facts = outcome_of(trial)

    assert (outcome, facts.delivered, facts.phase) == (Outcome.HANG, (3,), "iterating")
    assert facts.exit_status is None
    assert alive(mark) == []


def test_process_that_slipped_away_is_found_and_ended(mark: str) -> None:
    outcome, facts = outcome_of(Trial("nothing", "scoreboard_stubs:Leaves"))

    assert outcome is Outcome.LEAK
    assert len(facts.left_processes) == 1
    assert facts.left_processes[0].startswith("1 x python")
    assert alive(mark) == []


def test_doubled_batch_is_wrong_data(mark: str) -> None:
    outcome, facts = outcome_of(Trial("nothing", "scoreboard_stubs:Doubles"))

    assert (outcome, facts.wrong) == (Outcome.WRONG, "batch 2 came where batch 3 was due")


def test_interrupted_program_is_seen_to_end(mark: str) -> None:
    outcome, facts = outcome_of(Trial("Ctrl-C", "loop"))

    assert outcome is Outcome.COMPLETE
    assert (facts.exit_status, facts.tracebacks) == (-2, 1)


@pytest.mark.skipif(namespace() is None, reason="no file system may be mounted here")
def test_trial_can_have_a_tiny_dev_shm_of_its_own() -> None:
    look = "import os, shutil; print(shutil.disk_usage('/dev/shm').total, os.listdir('/dev/shm'))"
    command = command_in_own_shm([sys.executable, "-c", look], size_mb=64)

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == f"{64 << 20} []\n"


def test_program_that_cannot_begin_is_not_tried(mark: str) -> None:
    outcome, facts = outcome_of(Trial("all workers killed", "scoreboard_stubs:Nobody"))

    assert outcome is Outcome.UNTRIED
    assert facts.raised is not None
    assert facts.raised.type == "AttributeError"
