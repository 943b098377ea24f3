"""Workers start while the Sequence is still being pickled, and wait for it."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import psutil
import pytest
from shared_sequences import Rows

from seqloader import share
from seqloader.errors import WorkerLostWarning, WorkerStartError
from seqloader.executors.process.executor import ProcessExecutor
from seqloader.randomness.seeding import Seeding


class Pickled(Rows):
    """Something happens while it is pickled."""

    def __init__(self, meanwhile):
        super().__init__(np.arange(60_000).reshape(6, -1))
        self.meanwhile = meanwhile

    def __getstate__(self):
        changed = self.meanwhile(self)
        return {"array": self.array, **(changed or {})}


def first_elements(batches):
    return [int(batch[0]) for batch in batches]


WHOLE = [0, 10_000, 20_000, 30_000, 40_000, 50_000]


def test_workers_are_there_while_the_sequence_is_pickled(make_any, children):
    seen = []

    with make_any(Pickled(lambda _: seen.append(len(children())))) as enqueuer:
        assert seen == [2]
        assert first_elements(enqueuer) == WHOLE


def test_a_sequence_that_cannot_be_pickled_leaves_no_worker(make_any, children):
    enqueuer = make_any(Pickled(lambda _: {"lock": threading.Lock()}))

    for _ in range(2):
        with pytest.raises(TypeError, match="lock"):
            enqueuer.start()
        assert children() == []
        assert not enqueuer.is_running()


def test_an_error_of_the_users_in_pickling_leaves_no_worker(make_any, children):
    def fail(_):
        raise ZeroDivisionError("while it was pickled")

    with pytest.raises(ZeroDivisionError, match="while it was pickled"):
        make_any(Pickled(fail)).start()
    assert children() == []


def test_a_worker_that_dies_while_it_waits_is_replaced(make_any):
    def kill_one(_):
        os.kill(psutil.Process().children()[0].pid, signal.SIGKILL)

    enqueuer = make_any(Pickled(kill_one))

    with pytest.warns(WorkerLostWarning):
        assert first_elements(enqueuer) == WHOLE
    assert enqueuer.stats().respawns == 1


def test_all_may_die_while_they_wait(make_any):
    def kill_all(_):
        workers = psutil.Process().children()
        for worker in workers:
            worker.kill()
        for worker in workers:
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)

    enqueuer = make_any(Pickled(kill_all), workers=4)

    with pytest.warns(WorkerLostWarning):
        assert first_elements(enqueuer) == WHOLE
    assert enqueuer.stats().respawns == 4


def test_a_stop_while_it_is_pickled_stops(make_any, children):
    enqueuer = None
    sequence = Pickled(lambda _: enqueuer.stop())
    enqueuer = make_any(sequence)

    enqueuer.start()

    assert not enqueuer.is_running()
    assert children() == []
    sequence.meanwhile = lambda _: None
    assert first_elements(enqueuer) == WHOLE


@pytest.mark.parametrize("without", ["", "procfd"])
def test_a_shared_array_made_while_it_is_pickled_arrives(make_any, without, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", without)
    kept = []

    def sharing(sequence):
        kept.append(share(sequence.array + 1))
        return {"array": kept[-1]}

    assert first_elements(make_any(Pickled(sharing))) == [first + 1 for first in WHOLE]


def test_an_executor_interrupted_before_its_first_state_is_not_reset():
    executor = ProcessExecutor(1, tickets_ahead=1)
    interrupted = Pickled(lambda _: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        executor.start(interrupted, Seeding(0, False))
    with pytest.raises(WorkerStartError, match="interrupted"):
        executor.reset()
    executor.stop(1.0)
