"""A consumer to which orphans fall, as to process 1 of a container, is left no zombies by us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has child subreapers")

PR_SET_CHILD_SUBREAPER = 36

SEQUENCES = """
import os, subprocess

import numpy as np

from seqloader import Sequence

IN_CONSUMER = os.environ.setdefault("CONSUMER_OF_ORPHANS", str(os.getpid())) == str(os.getpid())


class Plain(Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.array([index])


class LeavesAProcess(Plain):
    def __getitem__(self, index):
        subprocess.Popen(["sleep", "600"])
        return np.array([index])
"""

IMPORT_LEAVES_A_PROCESS = """
from sequences import *

if not IN_CONSUMER:
    subprocess.Popen(["sleep", "600"])


class FromHere(Plain):
    pass
"""

HEAD = f"""
import ctypes, os, signal, sys

import psutil

from seqloader import OrderedEnqueuer
from sequences import LeavesAProcess, Plain

ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0)
this, method = psutil.Process(), sys.argv[1]
other = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "0")  # of the user's, who waits for it himself


def started(sequence, workers=4):
    enqueuer = OrderedEnqueuer(sequence, workers=workers, start_method=method)
    enqueuer.start()
    return enqueuer


def zygote():
    [child] = [child for child in this.children() if child.pid != other]
    return child
"""

TAIL = """
from seqloader.executors.process.consumer.unreaped import reap_left_over

def left():
    return [child for child in this.children() if child.pid != other]

while any(child.status() != psutil.STATUS_ZOMBIE for child in left()):
    pass  # a killed process may take its time, and is reaped at a later start
reap_left_over()
print([child.pid for child in left()], os.waitpid(other, 0) == (other, 0))
"""

WHEN = {
    # What it has borne is not known yet to the consumer, who kills it for being slow.
    "stopped before the zygote is known to be fit": """
enqueuer = started(Plain())
while len(zygote().children()) < 4:
    pass
enqueuer.stop()
""",
    "stopped while workers are born": """
enqueuer = started(Plain(), workers=40)
while not zygote().children():
    pass
enqueuer.stop()
""",
    "the zygote is killed": """
enqueuer = started(Plain())
assert len(list(enqueuer)) == 4
zygote().kill()
assert len(list(enqueuer)) == 4
enqueuer.stop()
""",
    "the zygote is killed while workers are born": """
enqueuer = started(Plain(), workers=12)
parent = zygote()
while not parent.children():
    pass
parent.kill()
assert len(list(enqueuer)) == 4
enqueuer.stop()
""",
    "an import has left a process": """
from leaving import FromHere
with started(FromHere()) as enqueuer:
    assert len(list(enqueuer)) == 4
""",
    "a batch has left a process": """
with started(LeavesAProcess()) as enqueuer:
    assert len(list(enqueuer)) == 4
""",
}


def left_behind(when: str, method: str, folder: Path) -> str:
    """The children of a consumer that has stopped, and whether the user's own still was one."""
    (folder / "sequences.py").write_text(SEQUENCES)
    (folder / "leaving.py").write_text(IMPORT_LEAVES_A_PROCESS)
    (folder / "run.py").write_text(HEAD + WHEN[when] + TAIL)
    done = subprocess.run(
        [sys.executable, "run.py", method],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("when", WHEN)
def test_who_falls_to_the_consumer_is_reaped_and_nobody_else(when, tmp_path):
    assert left_behind(when, "zygote", tmp_path) == "[] True"


def test_what_a_fresh_interpreter_has_left_is_reaped(tmp_path):
    assert left_behind("a batch has left a process", "spawn", tmp_path) == "[] True"
