"""Trials of the fault scoreboard in real processes: what fell, what was seen, what is left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest
from scoreboard.catalogue import find
from scoreboard.facts import Facts, Trial
from scoreboard.trials import Trials, command_in_own_shm, namespace
from scoreboard.verdict import Outcome, judge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watchers need Linux")

MARK = "FAULTS_TEST"


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of every process that the test starts, however far away."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return value


def outcome_of(fault: str, peer: str, silent_s: float = 15.0) -> tuple[Outcome, Facts]:
    facts = Trials().hold(Trial(fault, peer, silent_s=silent_s))
    return judge(facts, find(fault)).outcome, facts


def alive(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.parametrize(
    ("fault", "length", "workers"),
    [("worker killed in __getitem__", 40, 2), ("all workers killed", 100, 3)],
)
def test_killed_workers_of_seqloader_cost_nothing(
    fault: str, length: int, workers: int, mark: str
) -> None:
    outcome, facts = outcome_of(fault, "seqloader")

    assert (outcome, facts.delivered) == (Outcome.COMPLETE, (length, length))
    assert facts.struck
    assert facts.raised is None
    assert len(facts.worker_pids) >= workers
    assert alive(mark) == []


def test_loader_that_hangs_is_ended_with_everything_below_it(mark: str) -> None:
    outcome, facts = outcome_of("nothing", "stand_ins:Hangs", silent_s=1.0)

    assert (outcome, facts.delivered, facts.phase) == (Outcome.HANG, (3,), "iterating")
    assert facts.exit_status is None
    assert alive(mark) == []


def test_process_that_slipped_away_is_found_and_ended(mark: str) -> None:
    outcome, facts = outcome_of("nothing", "stand_ins:Leaves")

    assert outcome is Outcome.LEAK
    assert len(facts.left_processes) == 1
    assert facts.left_processes[0].startswith("1 x python")
    assert alive(mark) == []


def test_doubled_batch_is_wrong_data() -> None:
    outcome, facts = outcome_of("nothing", "stand_ins:Doubles")

    assert (outcome, facts.wrong) == (Outcome.WRONG, "batch 2 came where batch 3 was due")


def test_interrupted_program_is_seen_to_end() -> None:
    outcome, facts = outcome_of("Ctrl-C", "loop")

    assert (outcome, facts.exit_status, facts.tracebacks) == (Outcome.COMPLETE, -2, 1)


def test_program_that_cannot_begin_is_not_tried() -> None:
    outcome, facts = outcome_of("all workers killed", "stand_ins:Nobody")

    assert outcome is Outcome.UNTRIED
    assert facts.raised is not None
    assert facts.raised.type == "AttributeError"


@pytest.mark.skipif(namespace() is None, reason="no file system may be mounted here")
def test_trial_can_have_a_tiny_dev_shm_of_its_own() -> None:
    look = "import os, shutil; print(shutil.disk_usage('/dev/shm').total, os.listdir('/dev/shm'))"
    command = command_in_own_shm([sys.executable, "-c", look], size_mb=64)

    assert subprocess.check_output(command, text=True) == f"{64 << 20} []\n"
