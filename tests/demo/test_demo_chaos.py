from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from seqloader.demo.chaos import Chaos


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
