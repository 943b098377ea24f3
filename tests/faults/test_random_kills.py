"""Workers killed at random: the script that does it at length, for a few trials."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from programs import environment

SCRIPT = Path(__file__).with_name("random_kills.py")


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )


@pytest.mark.chaos
@pytest.mark.limit(180)
def test_no_batch_is_lost_or_doubled_by_random_kills():
    completed = chaos("--trials", "6", "--sizes", "1KB,1MB")

    assert completed.returncode == 0, completed.stdout
    rows = [line.split() for line in completed.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1KB", "1MB"]
    assert all(row[1] == "6" and int(row[2]) > 5 for row in rows)  # kills


@pytest.mark.soak
@pytest.mark.chaos
@pytest.mark.limit(3600)
def test_two_hundred_trials_of_each_size_lose_nothing():
    completed = chaos("--trials", "200", "--sizes", "1KB,1MB,64MB")

    assert completed.returncode == 0, completed.stdout
