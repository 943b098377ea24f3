"""Faults of a cluster, brought about in the middle of an epoch, and what becomes of its batches."""

from __future__ import annotations

import os
import random
import signal
import time
import warnings
from typing import NamedTuple

from seqloader import OrderedEnqueuer, WorkerLostWarning

HEALTH = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
    "RAY_health_check_initial_delay_ms": "500",
}
"""Of the cluster, in the environment that it is started with: as the how-to has them."""


class Outcome(NamedTuple):
    """Of an epoch that something happened to."""

    indices: list[int]
    """As they were delivered."""
    stall_s: float
    """The longest time between two batches."""
    respawns: int
    error: str

    def is_exact(self, length):
        return self.indices == list(range(length)) and not self.error


def actors_of(enqueuer):
    """Those that are there, ready or not."""
    return [actor for actor, _ in enqueuer._run.session.executor._running.dispatcher.heads()]


def epoch_with(enqueuer: OrderedEnqueuer, strike, at: int) -> Outcome:
    """One epoch; `strike(batch)` is called when so many batches were delivered."""
    indices, stall_s, error = [], 0.0, ""
    before = enqueuer.stats().respawns
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WorkerLostWarning)
            batches = iter(enqueuer)
            for number in range(len(enqueuer)):
                asked = time.perf_counter()
                batch = next(batches)
                if number:  # of the first, the start is a part
                    stall_s = max(stall_s, time.perf_counter() - asked)
                indices.append(int(batch[0][0]))
                if number == at:
                    strike(batch)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    return Outcome(indices, stall_s, enqueuer.stats().respawns - before, error)


def kill_one(batch):
    """That which has computed the batch."""
    os.kill(batch[1], signal.SIGKILL)


def kill_at_random(enqueuer, rng: random.Random):
    def strike(batch):
        time.sleep(rng.random() * 0.02)
        ready = [actor for actor in actors_of(enqueuer) if actor.pid]
        os.kill(rng.choice(ready).pid, signal.SIGKILL)

    return strike


def kill_all(enqueuer):
    def strike(batch):
        for actor in actors_of(enqueuer):
            if actor.pid:
                os.kill(actor.pid, signal.SIGKILL)

    return strike
