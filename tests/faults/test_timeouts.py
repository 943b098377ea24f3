"""`timeout_s`: a worker that is stuck is killed, its batch tried again, its stack in the log."""

from __future__ import annotations

import logging
import os
import time

import numpy as np
import pytest
from deaths import worker_deaths
from programs import Ends, wait_for
from victims import Blow, Full, HasChildren, Sleeper, Stuck, value_of

from seqloader import OrderedEnqueuer
from seqloader.errors import WorkerLostError, WorkerLostWarning

TIMEOUT_S = 0.4

WRITES_ITS_STACK = {"asleep": True, "in C": True, "stopped": False}


@pytest.mark.parametrize("how", WRITES_ITS_STACK)
def test_stuck_worker_is_killed_and_its_batch_tried_again(how, tmp_path, caplog):
    sequence = Stuck(how, Blow("", tmp_path))
    enqueuer = OrderedEnqueuer(sequence, workers=2, timeout_s=TIMEOUT_S)

    with (
        enqueuer,
        caplog.at_level(logging.WARNING, "seqloader"),
        worker_deaths(match=r"longer than timeout_s .* 2 ") as caught,
    ):
        delivered = [value_of(batch) for batch in enqueuer]

    logged = [r.getMessage() for r in caplog.records if r.name == "seqloader"]
    assert delivered == list(range(12))
    assert enqueuer.stats().respawns == len(caught) == len(logged) == 1
    if WRITES_ITS_STACK[how]:
        assert "victims.py" in logged[0] and "in be_stuck_here" in logged[0]
    else:
        assert "could not write its stack" in logged[0]


def test_stack_in_the_log_shows_all_threads_of_the_worker(tmp_path, caplog):
    sequence = _StuckInThreads("asleep", Blow("", tmp_path))
    with (
        OrderedEnqueuer(sequence, workers=1, timeout_s=TIMEOUT_S) as enqueuer,
        worker_deaths(),
        caplog.at_level(logging.WARNING, "seqloader"),
    ):
        list(enqueuer)

    assert "in be_stuck_here" in caplog.text
    assert "in a_thread_of_the_users" in caplog.text


class _StuckInThreads(Stuck):
    def be_stuck_here(self) -> None:
        import threading

        def a_thread_of_the_users() -> None:
            time.sleep(60)

        threading.Thread(target=a_thread_of_the_users, daemon=True).start()
        time.sleep(60)


@pytest.mark.parametrize("how", WRITES_ITS_STACK)
def test_batch_that_is_stuck_every_time_is_an_error_in_its_place(how, tmp_path):
    sequence = Stuck(how, Blow("", tmp_path, None))
    enqueuer = OrderedEnqueuer(sequence, workers=2, timeout_s=TIMEOUT_S, crash_retries=1)
    delivered = []

    with worker_deaths(), pytest.raises(WorkerLostError) as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    error = caught.value
    assert delivered == [0, 1]
    assert (error.index, error.attempts, error.reason) == (2, 2, "timeout")
    assert f"timeout_s={TIMEOUT_S:g}" in str(error)
    assert sequence.blow.fallen() == 2


def test_batches_that_are_slow_but_in_time_are_left_alone(tmp_path):
    enqueuer = OrderedEnqueuer(
        Sleeper(tmp_path, seconds=0.3, slow={0, 1, 2, 3, 4}), workers=2, timeout_s=2.0
    )
    with enqueuer:
        iterator = iter(enqueuer)
        delivered = [value_of(next(iterator)) for _ in range(8)]

    assert delivered == list(range(8))
    assert enqueuer.stats().respawns == 0


def test_consumer_that_takes_its_time_costs_no_worker():
    enqueuer = OrderedEnqueuer(Full(12), workers=2, max_queue_size=2, timeout_s=0.2)
    with enqueuer:
        delivered = []
        for batch in enqueuer:
            delivered.append(value_of(batch))
            if len(delivered) % 4 == 0:
                time.sleep(0.5)

    assert delivered == list(range(12))
    assert enqueuer.stats().respawns == 0


def test_children_of_a_stuck_worker_are_killed_with_it(tmp_path):
    enqueuer = OrderedEnqueuer(HasChildren(tmp_path, "sleep"), workers=1, timeout_s=1.0)

    with enqueuer, worker_deaths():
        iterator = iter(enqueuer)
        next(iterator)
        child = int(wait_for(tmp_path / "child").split()[1])
        with Ends([child]) as ends:
            assert ends.left_after(1.0) == []


def test_discarding_an_epoch_waits_no_longer_than_the_limit(tmp_path):
    """A loop left early ends its epoch when the next begins: nothing may be computed then."""
    sequence = _StuckInEpochZero("asleep", Blow("", tmp_path, 2), index=3)
    enqueuer = OrderedEnqueuer(sequence, workers=2, timeout_s=TIMEOUT_S)
    with enqueuer:
        for batch in enqueuer:
            assert value_of(batch) == 0
            break
        while not sequence.blow.fallen():
            time.sleep(0.01)

        begun = time.monotonic()
        delivered = _ignoring_deaths(enqueuer)
        took_s = time.monotonic() - begun

    assert delivered == list(range(12))
    assert took_s < 10


class _StuckInEpochZero(Stuck):
    epoch = 0

    def on_epoch_end(self) -> None:
        self.epoch = 1

    def __getitem__(self, index: int) -> np.ndarray:
        if self.epoch:
            return Full.__getitem__(self, index)
        return super().__getitem__(index)


def _ignoring_deaths(enqueuer: OrderedEnqueuer) -> list[int]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkerLostWarning)
        return [value_of(batch) for batch in enqueuer]


def test_stuck_worker_can_be_stopped_without_a_limit(tmp_path):
    enqueuer = OrderedEnqueuer(Stuck("in C", Blow("", tmp_path)), workers=2)
    iterator = iter(enqueuer)
    next(iterator)
    while not (tmp_path / "struck-0").exists():
        time.sleep(0.01)

    begun = time.monotonic()
    enqueuer.stop(timeout=0.6)

    assert time.monotonic() - begun < 0.6 + 0.5
    assert os.getpid()  # the guard around every test counts the children
