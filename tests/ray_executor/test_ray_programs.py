"""Programs of their own: who starts Ray, who ends it, and what is left of a consumer that died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="the Ray executor needs Ray")

pytestmark = [
    pytest.mark.leaks_ok(reason="Ray's processes end some seconds after their consumer"),
    pytest.mark.limit(120),
]

REPOSITORY = Path(__file__).parents[2]

HEAD = """
import os, sys, time
import numpy as np
import helper_of_the_script
from seqloader import OrderedEnqueuer, Sequence, batch_context

SCALE = 3

class Batches(Sequence):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return SCALE * helper_of_the_script.identity(index), os.getpid()
"""
HELPER = "def identity(value):\n    return value\n"


@pytest.fixture
def run(tmp_path):
    """Run a program to its end, or let it be: a script in a folder, with a module beside it."""
    started = []

    def run(text, *, wait=True):
        (tmp_path / "helper_of_the_script.py").write_text(HELPER)
        script = tmp_path / "script.py"
        script.write_text(HEAD + text)
        process = subprocess.Popen(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        if not wait:
            return process
        printed, errors = process.communicate(timeout=100)
        return process.returncode, printed, errors

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_script_needs_no_guard_and_brings_its_names_and_its_modules(run):
    code, printed, errors = run(
        """
with OrderedEnqueuer(Batches(), executor="ray", workers=1, seed=0) as enqueuer:
    batches = list(enqueuer)
print([value for value, _ in batches], batches[0][1] != os.getpid())
import ray
print(ray.is_initialized())
"""
    )

    assert code == 0, errors
    assert printed == f"{[3 * index for index in range(12)]} True\nFalse\n"
    assert "Traceback" not in errors


def test_a_ray_that_several_executors_use_ends_with_the_last_of_them(run):
    code, printed, errors = run(
        """
import ray
with OrderedEnqueuer(Batches(), executor="ray", workers=1) as train:
    next(iter(train))
    with OrderedEnqueuer(Batches(), executor="ray", workers=1) as validation:
        print(len(list(validation)))
    print(ray.is_initialized(), len(list(train)))
print(ray.is_initialized())
"""
    )

    assert code == 0, errors
    assert printed == "12\nTrue 12\nFalse\n"


def test_a_ray_that_a_thread_has_started_outlives_the_thread(run):
    code, printed, errors = run(
        """
import itertools, threading
enqueuer = OrderedEnqueuer(Batches(), executor="ray", workers=1)
found = []
asking = threading.Thread(target=lambda: found.extend(itertools.islice(enqueuer.get(), 4)))
asking.start()
asking.join()
print(len(found), len(list(enqueuer)))
enqueuer.stop()
print([thread.name for thread in threading.enumerate()])
"""
    )

    assert code == 0, errors
    assert printed == "4 12\n['MainThread']\n"


def test_ctrl_c_shows_one_traceback(run):
    process = run(
        """
class Slow(Batches):
    def __getitem__(self, index):
        time.sleep(0.05 if index < 3 else 60)
        return index

with OrderedEnqueuer(Slow(), executor="ray", workers=1) as enqueuer:
    for batch in enqueuer:
        print(batch, flush=True)
""",
        wait=False,
    )
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert process.returncode in (1, 130, -signal.SIGINT)
    assert errors.count("Traceback") == 1, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_a_consumer_that_is_killed_takes_its_actors_and_its_ray_with_it(run):
    process = run(
        """
class Slow(Batches):
    def __getitem__(self, index):
        time.sleep(0 if index < 3 else 600)
        return index

with OrderedEnqueuer(Slow(), executor="ray", workers=2) as enqueuer:
    for batch in enqueuer:
        print(batch, flush=True)
""",
        wait=False,
    )
    for _ in range(3):
        process.stdout.readline()
    children = psutil.Process(process.pid).children(recursive=True)
    # Not Ray's two agents, which wait a minute for their cluster to come back, and compute nothing.
    left = [one for one in children if not one.name().endswith("Agent")]
    assert {"raylet", "gcs_server"} < {one.name() for one in left}
    assert any(one.name().startswith("ray::Batch") for one in left)
    process.kill()
    process.wait()

    deadline = time.monotonic() + 20
    while any(one.is_running() and one.status() != "zombie" for one in left):
        assert time.monotonic() < deadline, [one.cmdline() for one in left if one.is_running()]
        psutil.wait_procs(left, timeout=0.2)
    for agent in children:
        if agent not in left and agent.is_running():
            agent.kill()


def test_without_ray_the_error_says_what_to_install(run):
    code, _, errors = run(
        """
sys.modules["ray"] = None
OrderedEnqueuer(Batches(), executor="ray", workers=1).start()
"""
    )

    assert code == 1
    assert 'pip install "seqloader[ray]"' in errors
