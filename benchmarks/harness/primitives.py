"""What the machine itself can do in this run: a pipe, a fill, a copy.

They bound the figures beside which they are printed, and tell a slow engine from a busy machine.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["bandwidth", "pipe", "seconds_each"]

RECORD = b"\0" * 64  # the size of a worker's report
PICTURES = (64, 224, 224, 3)  # 38.5 MB of float32
TRIAL_S = 0.01
TRIALS = 5


def seconds_each(call: Callable[[], object]) -> float:
    """Median time of one call, over trials long enough for the clock."""
    trials_s = []
    for _ in range(TRIALS):
        count = 0
        begun_s = now_s = time.perf_counter()
        while now_s - begun_s < TRIAL_S:
            call()
            count += 1
            now_s = time.perf_counter()
        trials_s.append((now_s - begun_s) / count)
    return statistics.median(trials_s)


def pipe() -> dict[str, float]:
    """A write and a read in one process, and a round trip to another one and back."""
    there, here = os.pipe(), os.pipe()
    echo_pid = os.fork()
    if echo_pid == 0:
        try:
            os.close(there[1])
            while record := os.read(there[0], len(RECORD)):
                os.write(here[1], record)
        finally:
            os._exit(0)
    os.close(there[0])

    def round_trip() -> None:
        os.write(there[1], RECORD)
        os.read(here[0], len(RECORD))

    def write_and_read() -> None:
        os.write(here[1], RECORD)
        os.read(here[0], len(RECORD))

    try:
        round_trip_us = seconds_each(round_trip) * 1e6
        write_read_us = seconds_each(write_and_read) * 1e6
    finally:
        os.close(there[1])
        os.waitpid(echo_pid, 0)
    return {"pipe_write_read_us": write_read_us, "pipe_round_trip_us": round_trip_us}


def bandwidth(processes: int) -> dict[str, float]:
    """GB/s of `processes` at once, together: fresh `np.full`, a warm fill, a warm copy."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    with context.Pool(processes, initializer=_meet_at, initargs=(barrier,)) as pool:
        each = pool.map(_bandwidth_of_one, range(processes), chunksize=1)
    return {name: sum(one[name] for one in each) for name in each[0]}


_barrier: Any = None


def _meet_at(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _bandwidth_of_one(_: int) -> dict[str, float]:
    source = np.full(PICTURES, 1.0, np.float32)
    target = np.full(PICTURES, 2.0, np.float32)
    calls: dict[str, Callable[[], object]] = {
        "np_full_gb_per_s": lambda: np.full(PICTURES, 3.0, np.float32),
        "fill_gb_per_s": lambda: target.fill(4.0),
        "copy_gb_per_s": lambda: np.copyto(target, source),
    }
    figures = {}
    for name, call in calls.items():
        _barrier.wait(30)
        figures[name] = source.nbytes / seconds_each(call) / 1e9
    return figures
