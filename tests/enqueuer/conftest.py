"""Every test of behaviour runs over three executors, through the fixture `make`; or over Ray."""

from __future__ import annotations

import itertools
import threading
import time

import psutil
import pytest
from on_ray import EXECUTORS

from seqloader import OrderedEnqueuer
from seqloader.executors.process.consumer import unreaped
from seqloader.run.board import WAITS_SINCE
from seqloader.testing import DEADLINE_S, Gate


@pytest.fixture(params=EXECUTORS)
def executor(request):
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return request.param


@pytest.fixture
def make(executor):
    """Makes enqueuers with this test's executor; they are stopped after it."""
    yield from _making(executor=executor)


@pytest.fixture
def make_any():
    """Makes enqueuers with the arguments given; they are stopped after the test."""
    yield from _making()


def _making(**always):
    made = []

    def make(sequence, *positional, **options):
        enqueuer = OrderedEnqueuer(sequence, *positional, **{"workers": 2, **always, **options})
        made.append(enqueuer)
        return enqueuer

    yield make
    while made:  # not kept: a Sequence may hold shared memory, and pytest keeps `make` for longer
        made.pop().__exit__(AssertionError, None, None)  # without hooks
    if unreaped._unreaped:  # on a busy machine a killed process takes its time to end
        deadline = time.monotonic() + DEADLINE_S
        while unreaped._unreaped and time.monotonic() < deadline:
            unreaped.reap_left_over()  # as the next start does
            time.sleep(0.01)


@pytest.fixture
def gate(tmp_path):
    """Holds batches in work; opened after the test, whatever became of it."""
    folder = tmp_path / "gate"
    folder.mkdir()
    made = Gate(folder)
    yield made
    made.open()


@pytest.fixture
def take():
    """take(iterable, n): the next n of an iterator, and no question for another."""
    return lambda iterator, count: list(itertools.islice(iterator, count))


@pytest.fixture
def until():
    """until(condition): wait for what another process or thread brings about."""

    def wait(condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.002)

    return wait


@pytest.fixture
def opens(gate, until):
    """opens(enqueuer, condition, share): open the gate when the consumer has waited 10 ms at least,
    and for such a share of the epoch's time, and the condition holds."""
    threads = []

    def waits(enqueuer, share):
        seconds = enqueuer._run.observed.waits
        since_s = seconds[WAITS_SINCE] if seconds else 0.0
        now_s, begun_s = time.monotonic(), enqueuer._run.epochs.counters.begun_s
        return since_s and now_s - since_s >= max(0.01, share * (now_s - begun_s))

    def open_then(enqueuer, condition=lambda: True, share=0.0):
        def wait_and_open():
            until(lambda: waits(enqueuer, share) and condition())
            gate.open()

        threads.append(threading.Thread(target=wait_and_open))
        threads[-1].start()

    yield open_then
    for thread in threads:
        thread.join()


@pytest.fixture
def children():
    """children(): this process's child processes now; of Ray's, those that compute batches."""

    def found():
        all_of_them = psutil.Process().children(recursive=True)
        named = [(each, each.name()) for each in all_of_them]
        if any(name == "raylet" for _, name in named):
            return [each for each, name in named if name.startswith("ray::Batch")]
        return all_of_them

    return found
