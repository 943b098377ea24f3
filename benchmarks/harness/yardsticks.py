"""What the machine does without any loader: the most that a loader could reach.

Nothing here delivers a batch to anyone, so nothing here is a peer.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from harness.checks import check_batch
from harness.together import meet, together

__all__ = ["interpreters", "loops", "sleepers"]

WORKER_IMPORTS = "import numpy, cloudpickle"


def loops(
    sequence: Any, processes: int, touch: bool, warmup_s: float, measure_s: float
) -> dict[str, float]:
    """Independent plain loops at once: the rate of all of them together."""
    each = together(processes, _loop, sequence, processes, touch, warmup_s, measure_s)
    return {name: sum(one[name] for one in each) for name in each[0]}


def _loop(
    number: int, sequence: Any, processes: int, touch: bool, warmup_s: float, measure_s: float
) -> dict[str, float]:
    index = number
    count = items = nbytes = 0
    meet()
    end_s = time.perf_counter() + warmup_s
    while time.perf_counter() < end_s:
        check_batch(sequence[index], index, touch, sequence)
        index += processes
    meet()
    begun_s = now_s = time.perf_counter()
    while now_s - begun_s < measure_s:
        batch = sequence[index]
        check_batch(batch, index, touch, sequence)
        index += processes
        count += 1
        items += len(batch[1])
        nbytes += batch[0].nbytes + batch[1].nbytes
        now_s = time.perf_counter()
    wall_s = now_s - begun_s
    return {
        "batches_per_s": count / wall_s,
        "items_per_s": items / wall_s,
        "gb_per_s": nbytes / wall_s / 1e9,
    }


def sleepers(sequence: Any, processes: int) -> dict[str, float]:
    """Processes that sleep through their even share of the items, and talk to nobody."""
    spans = together(processes, _sleep, sequence, processes)
    wall_s = max(ended for _, ended in spans) - min(begun for begun, _ in spans)
    return {
        "wall_s": wall_s,
        "over_even_share": wall_s / (sequence.work_s() / processes),
    }


def _sleep(number: int, sequence: Any, processes: int) -> tuple[float, float]:
    # A stretch, not every nth item: the long items would all be one process's.
    share = len(sequence) // processes
    meet()
    begun_s = time.perf_counter()
    for index in range(number * share, (number + 1) * share):
        time.sleep(sequence.duration_s(index))
    return begun_s, time.perf_counter()


def interpreters(processes: int) -> dict[str, float]:
    """Fresh interpreters at once that import what a worker needs, until all have ended."""
    begun_s = time.perf_counter()
    started = [
        subprocess.Popen([sys.executable, "-c", WORKER_IMPORTS], stdin=subprocess.DEVNULL)
        for _ in range(processes)
    ]
    statuses = [process.wait() for process in started]
    wall_s = time.perf_counter() - begun_s
    if any(statuses):
        raise RuntimeError(f"{WORKER_IMPORTS!r} ended with {statuses}")
    return {"first_batch_s": wall_s}
