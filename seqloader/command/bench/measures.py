"""One measurement of one feed: the start, a warm-up, a timed stretch, training steps, memory.

The timed stretch begins and ends with everything in full swing: what was computed ahead before it
counts for it, and what is computed ahead at its end counts against it.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.command.bench.figures import Round
from seqloader.command.footprint import machine_cpu_s, tree_cpu_s, tree_memory_bytes
from seqloader.executors.local_batch import array_nbytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqloader.command.bench.feeds import Feed

__all__ = ["Pace", "measure", "touch", "warm_up"]

PAGE_BYTES = 4096
WARM_UP_SHARE = 0.25
"""Of the timed stretch."""
ROUNDS_OF_WORKERS = 4
"""Batches that each worker computes in a timed stretch, at least: they arrive in bursts."""
PARTS_TOUCHED = 64
"""Of each list, tuple or dict."""
FIRST_STEPS = 2
"""Training steps that are not counted: the window is as full as the timed stretch left it."""


@dataclass(frozen=True)
class Pace:
    """How long to measure, and what the consumer does with a batch."""

    seconds: float = 1.0
    batches: int | None = None
    """Exactly so many, however long they take."""
    step_s: float | None = None
    touch: bool = True


def measure(feed: Feed, pace: Pace) -> Round:
    """Take batches from `feed`, and tell what that cost."""
    batches = feed.batches
    first = next(batches)
    if pace.touch:
        touch(first)
    startup_s = time.perf_counter() - feed.begun_s
    batch_nbytes = max(array_nbytes(first), warm_up(feed, pace))
    del first

    before, cpu_before_s, machine_before_s = feed.counts(), tree_cpu_s(), machine_cpu_s()
    own_before_s, begun_s = time.thread_time(), time.perf_counter()
    number = _take(batches, pace, feed.workers)
    wall_s = time.perf_counter() - begun_s
    consumer_s = time.thread_time() - own_before_s
    machine_s, cpu_s = machine_cpu_s() - machine_before_s, tree_cpu_s() - cpu_before_s
    after = feed.counts()

    wait_s = None if pace.step_s is None else _waits(batches, pace, pace.step_s)
    if feed.workers:
        time.sleep(min(pace.seconds, feed.queue * wall_s / number))  # till the window is full
    return Round(
        feed.queue,
        startup_s,
        number,
        wall_s,
        # Objects that are no arrays have a size only where an executor has seen it.
        batch_nbytes * number or after.nbytes - before.nbytes,
        consumer_s,
        cpu_s,
        machine_s,
        after.busy_s - before.busy_s,
        wait_s,
        memory_bytes=tree_memory_bytes(),
    )


def warm_up(feed: Feed, pace: Pace) -> int:
    """Take batches until every worker has computed some; the bytes of the last one's arrays."""
    least, seconds = 2 * max(1, feed.workers), WARM_UP_SHARE * pace.seconds
    if pace.batches is not None:
        least, seconds = max(least, int(WARM_UP_SHARE * pace.batches)), 0.0
    end_s = time.perf_counter() + seconds
    for count, batch in enumerate(feed.batches, start=1):
        if count >= least and time.perf_counter() >= end_s:
            return array_nbytes(batch)
    raise AssertionError("a feed has no end")


def _take(batches: Iterator[Any], pace: Pace, workers: int) -> int:
    """Take batches for the time of the stretch; how many."""
    now, touches = time.perf_counter, pace.touch
    least = pace.batches or ROUNDS_OF_WORKERS * max(1, workers)
    end_s = 0.0 if pace.batches else now() + pace.seconds
    for count, batch in enumerate(batches, start=1):
        if touches:
            touch(batch)
        if count >= least and now() >= end_s:
            return count
    raise AssertionError("a feed has no end")


def _waits(batches: Iterator[Any], pace: Pace, step_s: float) -> float:
    """Mean of the seconds waited for a batch after a training step, which sleeps."""
    now = time.perf_counter
    least, end_s = pace.batches or 1, 0.0 if pace.batches else now() + pace.seconds
    waited_s = 0.0
    for step in itertools.count(1 - FIRST_STEPS):
        time.sleep(step_s)
        asked_s = now()
        batch = next(batches)
        waited_s += now() - asked_s if step > 0 else 0.0
        if pace.touch:
            touch(batch)
        if step >= least and now() >= end_s:
            break
    return waited_s / step


def touch(nest: Any) -> None:
    """Read a byte of each page of every array, as a consumer does who uses the batch.

    Arrays of less than a page are not read, nor those deep in long lists: finding them would cost
    more than reading them.
    """
    kind = type(nest)
    if kind is np.ndarray:
        if nest.nbytes >= PAGE_BYTES and nest.flags.c_contiguous and not nest.dtype.hasobject:
            nest.reshape(-1).view(np.uint8)[::PAGE_BYTES].max()
    elif kind is tuple or kind is list:
        for part in nest[:PARTS_TOUCHED]:
            touch(part)
    elif kind is dict:
        for part in itertools.islice(nest.values(), PARTS_TOUCHED):
            touch(part)
