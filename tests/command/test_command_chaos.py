from __future__ import annotations

import random
import signal
import subprocess
import sys

import pytest

from seqloader.command.chaos import Chaos


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.mark.parametrize(
    ("total", "moments"),
    [(64, [10, 20, 30, 40, 50]), (14, [4, 8]), (2000, [333, 666, 999, 1332, 1665]), (7, [])],
)
def test_moments_are_few_and_the_last_comes_before_the_end(total, moments, monkeypatch):
    chaos = Chaos(total)
    struck = []
    monkeypatch.setattr(chaos, "_longest_serving", lambda: struck.append(delivered))

    for delivered in range(1, total + 1):
        chaos.strike(delivered)

    assert struck == moments


@pytest.mark.parametrize(("total", "kills", "expected"), [(80, 3, 3), (9, 3, 1), (1, 3, 1)])
@pytest.mark.parametrize("seed", range(10))
def test_moments_that_are_drawn_leave_time_at_the_end(total, kills, expected, seed, monkeypatch):
    chaos = Chaos(total, kills, random.Random(seed))
    struck = []
    monkeypatch.setattr(chaos, "_longest_serving", lambda: struck.append(delivered))

    for delivered in range(total + 1):
        chaos.strike(delivered)

    assert len(struck) == expected
    assert max(struck) <= max(0, total - 4)


def test_the_longest_serving_worker_is_killed_and_nobody_elses_child():
    bystander = sleeper()
    chaos = Chaos(total_batches=8)
    first = sleeper()
    second = sleeper()
    try:
        chaos.strike(4)

        assert first.wait(10) == -signal.SIGKILL
        assert chaos.kills == 1
        assert bystander.poll() is None
        assert second.poll() is None
    finally:
        for child in (bystander, first, second):
            child.kill()
            child.wait()
