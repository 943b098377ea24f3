"""Fewer workers go on where one cannot be replaced, and they are as many again when it can."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest
from deaths import worker_deaths

from seqloader import OrderedEnqueuer, Sequence, WorkerStartError
from seqloader.executors.process.consumer import schedule as schedule_module
from seqloader.executors.process.consumer.birth import Birth
from seqloader.memory.kills import MemoryKills
from seqloader.testing import DEADLINE_S

WORKERS = 3
FAILURES = 5


class Pids(Sequence):
    """Batches say who computed them."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return index, os.getpid()


class Sick:
    """A `worker_init` that ends its worker, while a file says so of its slot."""

    def __init__(self, folder, how):
        self.folder = folder
        self.how = how

    def __call__(self, slot):
        if not self.file(slot).exists():
            return
        (self.folder / f"ended-{os.getpid()}").touch()
        if self.how == "exit":
            os._exit(4)
        if self.how == "raise":
            raise OSError("no licence left")
        os.kill(os.getpid(), self.how)

    def file(self, slot):
        return self.folder / f"sick-{slot}"


class Taking:
    """Takes batches from a stream, at first until every worker has worked; checks their order."""

    def __init__(self, enqueuer):
        self.stream = enqueuer.get()
        self.taken = 0
        self.pids = []
        self.until(lambda: len(workers_of(enqueuer)) == enqueuer.workers)

    def until(self, condition):
        """Take until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            self.take()

    def take(self):
        index, pid = next(self.stream)
        assert index == self.taken % 1000
        self.taken += 1
        self.pids.append(pid)


def workers_of(enqueuer):
    """Process ids of those that have worked, by slot."""
    crew = enqueuer._run.session.executor._pool.crew
    return {worker.slot: worker.pid for worker in crew.workers.values() if worker.answered}


def kill(enqueuer, slot):
    os.kill(workers_of(enqueuer)[slot], signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGKILL, "exit"])
def test_workers_that_die_at_each_start_cost_a_warning_while_another_serves(how, tmp_path):
    sick = Sick(tmp_path, how)
    enqueuer = OrderedEnqueuer(Pids(), workers=WORKERS, worker_init=sick)
    with enqueuer, worker_deaths() as caught:
        taking = Taking(enqueuer)
        for slot in (1, 2):
            sick.file(slot).touch()
            kill(enqueuer, slot)

        taking.until(lambda: len(list(tmp_path.glob("ended-*"))) >= FAILURES)
        assert workers_of(enqueuer).keys() == {0}
        for slot in (1, 2):
            sick.file(slot).unlink()
        taking.until(lambda: len(workers_of(enqueuer)) == WORKERS)

    said = [
        str(w.message) for w in caught if "workers go on, and nothing is lost" in str(w.message)
    ]
    assert said and all("of 3 workers" in one for one in said)
    assert len(said) < FAILURES
    assert len(caught) <= len(said) + 4  # the two that were killed, and the first two failures


def test_the_run_ends_when_the_last_one_dies_and_no_other_starts(tmp_path):
    sick = Sick(tmp_path, "exit")
    enqueuer = OrderedEnqueuer(Pids(), workers=2, worker_init=sick)
    with enqueuer, worker_deaths():
        taking = Taking(enqueuer)
        sick.file(1).touch()
        kill(enqueuer, 1)
        taking.until(lambda: len(list(tmp_path.glob("ended-*"))) >= FAILURES)

        sick.file(0).touch()
        kill(enqueuer, 0)
        with pytest.raises(WorkerStartError, match=r"workers in a row died .* exit status 4"):
            taking.until(lambda: False)

    assert not enqueuer.is_running()


def test_a_start_that_the_program_fails_ends_the_run_at_once(tmp_path):
    sick = Sick(tmp_path, "raise")
    enqueuer = OrderedEnqueuer(Pids(), workers=2, worker_init=sick)
    with enqueuer, worker_deaths():
        taking = Taking(enqueuer)
        sick.file(1).touch()
        kill(enqueuer, 1)
        with pytest.raises(WorkerStartError, match="no licence left"):
            taking.until(lambda: False)

    assert enqueuer.stats().respawns == 1


def test_where_no_process_can_be_had_fewer_go_on_until_there_is_one(monkeypatch):
    refusing, bear = [], Birth.bear

    def bear_unless_refusing(birth, born, own):
        if refusing:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        bear(birth, born, own)

    monkeypatch.setattr(Birth, "bear", bear_unless_refusing)
    enqueuer = OrderedEnqueuer(Pids(), workers=WORKERS)
    with enqueuer, worker_deaths() as caught:
        taking = Taking(enqueuer)
        refusing.append(True)
        kill(enqueuer, 1)
        kill(enqueuer, 2)
        taking.until(lambda: workers_of(enqueuer).keys() == {0})
        for _ in range(100):
            taking.take()
        assert set(taking.pids[-50:]) == {workers_of(enqueuer)[0]}
        refusing.clear()
        taking.until(lambda: len(workers_of(enqueuer)) == WORKERS)

    said = [str(w.message) for w in caught]
    assert any("no more processes may be started: see `ulimit -u`" in text for text in said)


def test_a_worker_killed_for_want_of_memory_is_replaced_when_there_is_room(monkeypatch):
    available = [0]
    monkeypatch.setattr(schedule_module, "available_bytes", lambda: available[0])
    monkeypatch.setattr(MemoryKills, "risen", lambda kills: "the machine")
    enqueuer = OrderedEnqueuer(Pids(), workers=2)
    with enqueuer, worker_deaths() as caught:
        taking = Taking(enqueuer)
        kill(enqueuer, 1)
        taking.until(lambda: workers_of(enqueuer).keys() == {0})
        for _ in range(100):
            taking.take()
        assert workers_of(enqueuer).keys() == {0}
        available[0] = 1 << 40
        taking.until(lambda: len(workers_of(enqueuer)) == 2)

    said = [str(w.message) for w in caught if "it is replaced when there is room" in str(w.message)]
    assert len(said) == 1
    assert "MiB too few" in said[0] and "the machine was out of memory" in said[0]
