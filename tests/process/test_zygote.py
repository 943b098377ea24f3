"""A zygote bears workers that are each its own; it does not where imports stand in the way."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import re
import signal
import sys
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

from seqloader import OrderedEnqueuer, Sequence, shared_empty
from seqloader.errors import WorkerLostWarning, WorkerStartError
from seqloader.executors.process.consumer import zygote
from seqloader.executors.process.wire.births import Message
from seqloader.executors.process.wire.settings import WorkerSettings

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="a zygote needs descriptors of processes"
)

LENGTH = 12

NUMBERED = """
    IMPORTED_IN = os.getpid()

    class Numbered(Sequence):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            return np.array([index, os.getpid(), os.getppid(), IMPORTED_IN])
"""


def make(sequence, **options):
    return OrderedEnqueuer(sequence, start_method="zygote", **{"workers": 2, **options})


def crew_of(enqueuer):
    return enqueuer._run.session.executor._pool.crew


def whole(batches):
    """The batches, which are all of an epoch, in order."""
    rows = [np.asarray(batch).tolist() for batch in batches]
    assert [row[0] for row in rows] == list(range(LENGTH))
    return rows


def after_deaths(enqueuer, count):
    """The first whole epoch after which so many workers were replaced."""
    while True:
        rows = whole(enqueuer)
        if enqueuer.stats().respawns >= count:
            return rows


@contextmanager
def numbered(write, source=NUMBERED, **options):
    """A running enqueuer of a module that was written for it."""
    with make(importlib.import_module(write(source)).Numbered(), **options) as enqueuer:
        yield enqueuer


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """However slow the machine is: who waits for a zygote does not give it up."""
    monkeypatch.setattr(zygote, "_ANSWER_S", 50.0)


@pytest.fixture
def module(write_module, tmp_path):
    """Writes a module that can be imported, and returns its name."""
    sys.path.insert(0, str(tmp_path))
    return write_module


class Looks(Sequence):
    """Batch i is i, and what `look()` finds in a worker."""

    def __init__(self, look):
        self.look = look

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return index, self.look()


# --- What a zygote does -------------------------------------------------------------------


def test_workers_are_children_of_one_process_that_has_imported_for_all(module):
    with numbered(module) as enqueuer:
        rows = [row for _ in range(3) for row in whole(enqueuer)]
        [zygote] = psutil.Process().children()
        children = {child.pid for child in zygote.children()}

    assert {row[1] for row in rows} <= children
    assert {tuple(row[2:]) for row in rows} == {(zygote.pid, zygote.pid)}
    assert not zygote.is_running()


def test_workers_are_born_and_compute_while_the_consumer_does_something_else(tmp_path, module):
    source = NUMBERED.replace("return np", 'open(f"computed-{index}", "w").close(); return np')
    with numbered(module, source, max_queue_size=4) as enqueuer:
        iterator = iter(enqueuer)
        while len(list(tmp_path.glob("computed-*"))) < 4:  # under the test's own limit
            pass
        whole(iterator)


def test_a_worker_that_dies_is_replaced_by_another_of_the_zygote_and_its_end_is_known(module):
    with numbered(module) as enqueuer:
        [zygote] = {row[2] for row in whole(enqueuer)}
        for victim in psutil.Process(zygote).children():
            victim.kill()
        with pytest.warns(WorkerLostWarning, match="SIGKILL"):
            rows = after_deaths(enqueuer, 2)

        assert {row[2] for row in rows} == {zygote}


def test_a_zygote_bears_more_workers_and_fewer(module):
    with numbered(module, workers=1) as enqueuer:
        whole(enqueuer)
        for workers in (5, 2, 3):
            enqueuer.resize(workers)
            whole(enqueuer)
        while len(psutil.Process().children(recursive=True)) != 1 + 3:
            whole(enqueuer)


def test_more_workers_than_are_asked_for_at_once_are_all_born():
    with make(Looks(os.getpid), workers=70, max_queue_size=70) as enqueuer:
        while not all(worker.ready for worker in crew_of(enqueuer).workers.values()) or (
            len(crew_of(enqueuer).workers) < 70
        ):
            assert [index for index, _ in enqueuer] == list(range(LENGTH))


# --- What is each worker's own ------------------------------------------------------------


def drawn():
    import random

    return random.random(), float(np.random.random())


def test_no_two_workers_draw_the_same_numbers():
    with make(Looks(drawn), workers=3) as enqueuer:
        found = [numbers for _ in range(4) for _, numbers in enqueuer]

    assert len({python for python, _ in found}) == len({numpy for _, numpy in found}) == len(found)


def own_facts():
    return (
        os.getpid(),
        os.getpgrp(),
        multiprocessing.parent_process().pid,
        multiprocessing.current_process().name,
    )


def test_each_worker_leads_a_group_and_is_a_child_of_the_consumer_for_multiprocessing():
    with make(Looks(own_facts)) as enqueuer:
        found = {facts for _ in range(4) for _, facts in enqueuer}

    assert all(pid == group and parent == os.getpid() for pid, group, parent, _ in found)
    assert {name for *_, name in found} <= {"SeqloaderWorker-0", "SeqloaderWorker-1"}


def test_what_a_failed_start_wrote_is_in_its_error():
    def speak(slot):
        os.write(2, b"these were its last words\n")
        os._exit(3)

    with (
        pytest.warns(WorkerLostWarning),
        pytest.raises(WorkerStartError, match="these were its last words"),
    ):
        list(make(Looks(os.getpid), worker_init=speak))


def test_what_an_import_prints_comes_once(module, capfd):
    printed = '\n    print("imported", end=" ")\n' + NUMBERED
    with numbered(module, printed, workers=3) as enqueuer:
        capfd.readouterr()
        whole(enqueuer)

    assert capfd.readouterr().out.count("imported") == 1


class HasShared(Sequence):
    def __init__(self):
        self.rows = None

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return np.array([index, 0 if self.rows is None else int(self.rows[index])])


def test_a_shared_array_made_later_is_reached_although_the_consumer_is_no_parent():
    sequence = HasShared()
    with make(sequence) as enqueuer:
        assert {row[1] for row in whole(enqueuer)} == {0}
        rows = shared_empty(LENGTH, np.int64)
        rows[:] = 7
        sequence.rows = rows

        assert {row[1] for row in whole(enqueuer)} == {7}


# --- What stands in the way ---------------------------------------------------------------

IN_THE_WAY = {
    "a thread": (
        "import threading; t = threading.Timer(9e5, print); t.daemon = True; t.start()",
        "has started 1 thread",
    ),
    "a file": ("FILE = open(__file__)", "has opened .*work_"),
    "an unseeded generator": ("GENERATOR = np.random.default_rng()", "a PCG64"),
    "a generator of random": ("import random; GENERATOR = random.Random()", "a Random"),
    "memory": ("import mmap; SHARED = mmap.mmap(-1, 4096)", "has mapped shared memory"),
    "a process": ("import subprocess; CHILD = subprocess.Popen(['sleep', '60'])", "a process"),
    "a timer": ("import signal; signal.setitimer(signal.ITIMER_VIRTUAL, 1e6)", "a timer"),
    "TensorFlow": ("import sys; sys.modules['tensorflow'] = sys", "TensorFlow is imported"),
}


def told(caplog):
    """What the log says, but for the verdicts on epochs."""
    return [record for record in caplog.records if not record.getMessage().startswith("epoch ")]


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_a_fork_would_share_is_noticed_and_said_once(what, module, caplog):
    statement, said = IN_THE_WAY[what]
    guarded = f"if os.getpid() != int(os.environ['CONSUMER_OF_THE_TEST']):\n        {statement}"
    source = f"\n    {guarded}\n{NUMBERED}"
    with caplog.at_level(logging.INFO, "seqloader"), numbered(module, source) as enqueuer:
        rows = whole(enqueuer)
        enqueuer.stop()
        enqueuer.start()
        whole(enqueuer)

    assert {row[2] for row in rows} == {os.getpid()}
    [record] = told(caplog)
    assert record.levelno == logging.INFO
    assert "fresh interpreters" in record.getMessage()
    assert re.search(said, record.getMessage()), record.getMessage()


def test_an_import_that_fails_in_the_zygote_fails_in_the_worker_who_says_so(module):
    source = f"""
    if os.getpid() != int(os.environ['CONSUMER_OF_THE_TEST']):
        raise LookupError("not here")
    {NUMBERED}"""
    with pytest.raises(WorkerStartError, match="not here"), numbered(module, source) as it:
        list(it)


# --- Where the zygote ends ----------------------------------------------------------------


def test_a_killed_zygote_costs_no_batch_and_its_workers_go_on(module, caplog):
    with caplog.at_level(logging.INFO, "seqloader"), numbered(module) as enqueuer:
        while not all(worker.pid for worker in crew_of(enqueuer).workers.values()):
            whole(enqueuer)
        iterator = iter(enqueuer)
        rows = [next(iterator)]
        os.kill(int(rows[0][2]), signal.SIGKILL)
        rows = whole([*rows, *iterator])
        for worker in crew_of(enqueuer).workers.values():
            os.kill(worker.pid, signal.SIGKILL)
        with pytest.warns(WorkerLostWarning):
            after_deaths(enqueuer, 2)
        # What is ahead of that epoch may have been computed before.
        while {row[2] for row in whole(enqueuer)} != {os.getpid()}:
            pass

    assert [record.getMessage()[-12:] for record in told(caplog)] == ["it has ended"]


def test_a_zygote_that_ends_while_its_answers_are_noted_has_borne_nobody_who_failed(module):
    with numbered(module, workers=6) as enqueuer:
        crew = crew_of(enqueuer)
        note = crew.note_zygote

        def note_and_kill():
            note()
            del crew.note_zygote
            process = psutil.Process(crew.zygote.pid)
            process.kill()
            while process.status() != psutil.STATUS_ZOMBIE:  # under the test's own limit
                pass

        crew.note_zygote = note_and_kill
        whole(enqueuer)

        assert enqueuer.stats().respawns == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_zygote_that_ends_in_an_import_costs_nothing_but_time(module, how):
    source = f"""
    if os.getppid() == int(os.environ['CONSUMER_OF_THE_TEST']) and not os.path.exists("ended"):
        open("ended", "w").close()
        os.kill(os.getpid(), {int(how)})
    {NUMBERED}"""
    with numbered(module, source) as enqueuer:
        assert {row[2] for row in whole(enqueuer)} == {os.getpid()}
        assert enqueuer.stats().respawns == 0


def test_a_stopped_zygote_is_given_up(module, monkeypatch):
    monkeypatch.setattr(zygote, "_ANSWER_S", 0.2)
    with numbered(module) as enqueuer:
        [row, *_] = whole(enqueuer)
        os.kill(row[2], signal.SIGSTOP)
        os.kill(row[1], signal.SIGKILL)
        with pytest.warns(WorkerLostWarning):
            after_deaths(enqueuer, 1)
        whole(enqueuer)


def test_no_zygote_where_the_system_lacks_what_it_needs(module, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", "pidfd")
    with numbered(module) as enqueuer:
        assert {row[2] for row in whole(enqueuer)} == {os.getpid()}


# --- What is said -------------------------------------------------------------------------


def test_settings_travel_and_take_up_descriptors_in_order():
    own = WorkerSettings(3, 1, 5, 64, -1, 10, 4096, 11, -1, 12, 13, -1, 14, -1, (15, 16), (9,))
    sent = [fd for fd in own.descriptors() if fd >= 0]
    arrived = WorkerSettings.unpack(own.pack())

    taken = arrived.taking([fd + 100 for fd in sent])

    assert arrived == own
    assert [fd - 100 for fd in taken.descriptors() if fd >= 0] == sent
    assert (taken.number, taken.slot, taken.version, taken.offset) == (3, 1, 5, 64)


def test_messages_travel():
    message = Message(7, 2, ["a", b"b", (1, 2)])

    assert Message.unpack(message.pack()) == message
