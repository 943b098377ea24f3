"""What a pipe of this machine costs in this run, and how long any call takes.

It bounds the figures beside which it is printed, and tells a slow engine from a busy machine.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

__all__ = ["pipe", "seconds_each"]

RECORD = b"\0" * 64  # the size of a worker's report
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
