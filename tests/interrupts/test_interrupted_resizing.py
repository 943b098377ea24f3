"""P11: an asynchronous exception at any point of `resize` loses no batch."""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import Any, Final

import pytest
from arrivals import Arrival, Interrupt
from course import Changing, Remains

from seqloader import OrderedEnqueuer
from seqloader.testing import DEADLINE_S

POOLS: Final[dict[str, dict[str, Any]]] = {
    "thread": {"use_multiprocessing": False},
    "spawn": {},
    "fork": {"start_method": "fork"},
}
SAMPLE: Final = int(os.environ.get("SEQLOADER_SWEEP_POINTS", "24"))
"""Points that a default run tries with processes; each starts some."""
LENGTH: Final = 6


class Resized:
    """An enqueuer that is resized between two batches of each epoch, to and fro."""

    def __init__(self, enqueuer: OrderedEnqueuer[Any], large: int) -> None:
        self._enqueuer = enqueuer
        self._sequence = enqueuer.sequence
        self._large = large

    def epoch(self, arrival: Arrival) -> None:
        """One whole epoch; the arrival may come inside the resize."""
        enqueuer = self._enqueuer
        before = enqueuer.workers
        after = 1 if before == self._large else self._large
        iterator = iter(enqueuer)
        state = self._sequence.ended
        batches = [next(iterator)]
        with contextlib.suppress(Interrupt):
            arrival.call(enqueuer.resize, after)
        batches.extend(iterator)
        place = f"{arrival.armed}, handled at {arrival.where}"
        assert [b.tolist() for b in batches] == [[state, index] for index in range(LENGTH)], place
        assert enqueuer.workers in (before, after), place
        self._check_size(place)

    def _check_size(self, place: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while (there := len(self._staying())) != self._enqueuer.workers:
            assert time.monotonic() < deadline, (there, self._enqueuer.workers, place)
            next(iter(self._enqueuer))  # who has left is replaced inside the consumer's calls

    def _staying(self) -> Any:
        executor: Any = self._enqueuer._run.session.executor
        if not self._enqueuer.use_multiprocessing:
            return executor._exchange.staying()
        return [w for w in executor._pool.crew.workers.values() if not w.leaving]


@pytest.mark.slow
@pytest.mark.limit(300)
def test_an_interrupt_at_every_point_of_a_resize_of_threads_loses_no_batch():
    remains = Remains()
    with OrderedEnqueuer(Changing(LENGTH), workers=1, use_multiprocessing=False) as enqueuer:
        resized = Resized(enqueuer, large=3)
        for at in range(1, 1000):
            grows, shrinks = Arrival(at), Arrival(at)
            resized.epoch(grows)
            resized.epoch(shrinks)
            if grows.armed is None and shrinks.armed is None:
                break
        enqueuer.resize(1)
    remains.check()

    assert at > 20


@pytest.mark.slow
@pytest.mark.limit(300)
@pytest.mark.parametrize("pool", ["spawn", "fork"])
def test_an_interrupt_at_many_points_of_a_resize_of_processes_loses_no_batch(pool):
    remains = Remains()
    with OrderedEnqueuer(Changing(LENGTH), workers=1, **POOLS[pool]) as enqueuer:
        resized = Resized(enqueuer, large=2)
        counting = [Arrival(), Arrival()]
        for arrival in counting:
            resized.epoch(arrival)
        chooser = random.Random(5)
        sites = [[*dict.fromkeys(arrival.passed)] for arrival in counting]
        chosen = [chooser.sample(each, min(SAMPLE // 2, len(each))) for each in sites]
        for grown, shrunk in zip(*chosen, strict=False):
            for site in (grown, shrunk):
                if enqueuer.workers != (1 if site is grown else 2):
                    enqueuer.resize(1 if site is grown else 2)
                resized.epoch(Arrival(site=site))
    remains.check()

    assert min(map(len, sites)) > 20
