"""However the consumer ends, its workers end with it, and nothing is left."""

from __future__ import annotations

import signal

import pytest
from programs import GONE_S, Ends, begun, run, wait_for

CONSUMER = """
import os, signal, subprocess, sys, threading, time
import psutil
from seqloader import OrderedEnqueuer
from victims import *
from pathlib import Path

def tell(*values):
    print(*values, flush=True)

def workers():
    return [child.pid for child in psutil.Process().children() if "-c" in child.cmdline()]
"""

BUSY = (
    CONSUMER
    + """
kind, folder = sys.argv[1:3]
class Busy(Full):
    def __getitem__(self, index):
        if index >= 4:
            (Path(folder) / f"begun-{index}").write_text("")
            if kind == "asleep":
                time.sleep(600)
            elif kind == "in C":
                import ctypes
                ctypes.PyDLL(None).sleep(600)
            elif kind == "in Python":
                while True: pass
            elif kind == "in a pattern":
                import re
                re.match("(a+)+$", "a" * 60 + "b")
            elif kind == "ignoring signals":
                for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGIO):
                    signal.signal(signum, signal.SIG_IGN)
                time.sleep(600)
        return super().__getitem__(index)
enqueuer = OrderedEnqueuer(Busy(), workers=2, max_queue_size=6)
iterator = iter(enqueuer)
kept = [next(iterator) for _ in range(4)]
while len(list(Path(folder).glob("begun-*"))) < 2 and kind != "idle":
    time.sleep(0.01)
tell(*workers())
"""
)

KINDS = ["idle", "asleep", "in C", "in Python", "in a pattern", "ignoring signals"]


@pytest.mark.parametrize("without", ["", "memfd,pidfd"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_consumer_takes_its_workers_along(kind, without, tmp_path):
    if kind == "idle":
        text = BUSY.replace("index >= 4", "False") + "signal.pause()"
    else:
        text = BUSY + "next(iterator)"
    with begun(text, tmp_path, kind, str(tmp_path), SEQLOADER_WITHOUT=without) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            program.send(signal.SIGKILL)

            assert len(workers) == 2
            assert ends.left_after(GONE_S) == []


@pytest.mark.parametrize("kind", ["idle", "asleep", "in C"])
def test_killed_consumer_takes_its_forked_workers_along(kind, tmp_path):
    text = BUSY.replace("workers=2", "workers=2, start_method='fork'")
    text = text.replace('if "-c" in child.cmdline()', "")
    if kind == "idle":
        text = text.replace("index >= 4", "False")
    with begun(text + "\nsignal.pause()", tmp_path, kind, str(tmp_path)) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            program.send(signal.SIGKILL)

            assert len(workers) == 2
            assert ends.left_after(GONE_S) == []


def test_killed_consumer_takes_along_the_workers_of_its_workers(tmp_path):
    text = (
        CONSUMER
        + """
class Nested(Full):
    def __getitem__(self, index):
        if not hasattr(self, "inner"):
            self.inner = OrderedEnqueuer(Sleeper(os.getcwd(), slow={2}), workers=1).get()
        return next(self.inner) + 0 * index
iterator = iter(OrderedEnqueuer(Nested(), workers=2))
while len(list(Path(".").glob("begun-*"))) < 1:
    time.sleep(0.01)
time.sleep(0.2)
tell(*(child.pid for child in psutil.Process().children(recursive=True)))
signal.pause()
"""
    )
    with begun(text, tmp_path) as program:
        pids = program.read_pids()
        with Ends(pids) as ends:
            program.send(signal.SIGKILL)

            assert len(pids) == 4
            assert ends.left_after(GONE_S) == []


# Without the kernel's signal a thread in the worker takes over, which needs the interpreter's lock.
@pytest.mark.parametrize("kind", ["idle", "asleep", "in Python", "ignoring signals"])
def test_killed_consumer_takes_its_workers_along_where_no_signal_is_delivered(kind, tmp_path):
    text = BUSY + "next(iterator)" if kind != "idle" else BUSY.replace("index >= 4", "False")
    with begun(
        text + "\nsignal.pause()", tmp_path, kind, str(tmp_path), SEQLOADER_WITHOUT="sigio"
    ) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            program.send(signal.SIGKILL)

            assert len(workers) == 2
            assert ends.left_after(GONE_S) == []


ENDINGS = {
    "SIGTERM": ("tell('ready'); next(iterator)", signal.SIGTERM, -signal.SIGTERM),
    "SIGHUP": ("tell('ready'); next(iterator)", signal.SIGHUP, -signal.SIGHUP),
    "uncaught exception": ("tell('ready'); raise LookupError('mine')", None, 1),
    "os._exit": ("tell('ready'); os._exit(7)", None, 7),
    "SIGSEGV": ("tell('ready'); os.kill(os.getpid(), signal.SIGSEGV)", None, -signal.SIGSEGV),
    "end of the script": ("tell('ready')", None, 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_workers_end_with_the_consumer_whatever_ends_it(ending, tmp_path):
    last_words, signum, expected = ENDINGS[ending]
    with begun(BUSY + last_words, tmp_path, "asleep", str(tmp_path)) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            program.read_line()
            if signum is not None:
                program.send(signum)
            status, errors = program.wait()

            assert ends.left_after(GONE_S) == []
    assert status == expected
    assert errors.count("Traceback") == (1 if ending == "uncaught exception" else 0)
    assert ("LookupError: mine" in errors) == (ending == "uncaught exception")


def test_consumer_killed_while_its_workers_start_takes_them_along(tmp_path):
    text = CONSUMER + (
        "enqueuer = OrderedEnqueuer(Full(), workers=4)\n"
        "enqueuer.start()\n"
        "tell(*workers())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with begun(text, tmp_path) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            assert ends.left_after(GONE_S) == []


def test_children_of_the_consumer_keep_no_worker_alive(tmp_path):
    text = (
        CONSUMER
        + """
before = subprocess.Popen(["sleep", "600"])
enqueuer = OrderedEnqueuer(Full(), workers=2)
batches = list(enqueuer)
after = subprocess.Popen(["sleep", "600"])
inheriting = subprocess.Popen(["sleep", "600"], close_fds=False)
forked = os.fork()
if forked == 0:
    time.sleep(600)
tell(*workers())
tell(before.pid, after.pid, inheriting.pid, forked)
signal.pause()
"""
    )
    with begun(text, tmp_path) as program:
        workers = program.read_pids()
        children = program.read_pids()
        with Ends(workers) as worker_ends, Ends(children) as child_ends:
            program.send(signal.SIGKILL)

            assert len(workers) == 2
            assert worker_ends.left_after(GONE_S) == []
            assert sorted(child_ends.left_after(0)) == sorted(children)


def test_forked_worker_of_multiprocessing_keeps_no_worker_alive(tmp_path):
    text = (
        CONSUMER
        + """
import multiprocessing
enqueuer = OrderedEnqueuer(Full(), workers=2)
iterator = iter(enqueuer)
next(iterator)
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
tell(*workers())
tell(child.pid)
signal.pause()
"""
    )
    with begun(text, tmp_path) as program:
        workers, child = program.read_pids(), program.read_pids()
        with Ends(workers) as ends, Ends(child) as child_ends:
            program.send(signal.SIGKILL)

            assert ends.left_after(GONE_S) == []
            assert child_ends.left_after(0) == child


@pytest.mark.parametrize("then", ["sleep", "go on"])
def test_children_of_a_worker_end_with_the_consumer(then, tmp_path):
    text = CONSUMER + (
        f"enqueuer = OrderedEnqueuer(HasChildren({str(tmp_path)!r}, {then!r}), workers=1)\n"
        "iterator = iter(enqueuer)\n"
        "next(iterator)\n"
        "signal.pause()\n"
    )
    with begun(text, tmp_path) as program:
        pids = [int(word) for word in wait_for(tmp_path / "child").split()]
        with Ends(pids) as ends:
            program.send(signal.SIGKILL)

            assert ends.left_after(GONE_S) == []


def test_consumer_whose_starting_thread_has_ended_keeps_its_workers(tmp_path):
    text = (
        CONSUMER
        + """
enqueuer = OrderedEnqueuer(Full(200), workers=2)
thread = threading.Thread(target=enqueuer.start)
thread.start()
thread.join()
before = sorted(workers())
assert [value_of(batch) for batch in enqueuer] == list(range(200))
assert sorted(workers()) == before, "workers were replaced"
enqueuer.stop()
"""
    )
    completed = run(text.replace("import *", "import *; from victims import value_of"), tmp_path)

    assert (completed.returncode, completed.stderr) == (0, "")
