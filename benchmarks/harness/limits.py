"""What the machine does without any loader: the most that a loader could reach.

Nothing here delivers a batch to anyone, so nothing here is a peer. Buffers are shared, mapped and
used before, as those of a good transport are. There are as many as there are batches in flight, and
they are written in turn: one buffer alone would stay in the processor's cache, which no queue of
batches does. A pipe tells a slow engine from a busy machine.
"""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from harness.cases import Case
from harness.workloads import check_batch

Figures = dict[str, float]
Answer = TypeVar("Answer")
PATIENCE_S = 60.0

RECORD = b"\0" * 64  # the size of a worker's report
WORKER_IMPORTS = "import numpy, cloudpickle"
TRIAL_S, TRIALS = 0.01, 5
TURNS_S, TURNS_TRIALS = 0.08, 3  # of whole turns through the buffers


def seconds_each(
    call: Callable[[], object], calls: int = 1, *, trial_s: float = TRIAL_S, trials: int = TRIALS
) -> float:
    """Median time of one of `calls` calls made at once, over trials long enough for the clock."""
    trials_s = []
    for _ in range(trials):
        count = 0
        begun_s = now_s = time.perf_counter()
        while now_s - begun_s < trial_s:
            call()
            count += calls
            now_s = time.perf_counter()
        trials_s.append((now_s - begun_s) / count)
    return statistics.median(trials_s)


def pipe() -> Figures:
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

    def write_and_read(to: int = here[1]) -> None:
        os.write(to, RECORD)
        os.read(here[0], len(RECORD))

    try:
        round_trip_us = seconds_each(lambda: write_and_read(there[1])) * 1e6
        write_read_us = seconds_each(write_and_read) * 1e6
    finally:
        os.close(there[1])
        os.waitpid(echo_pid, 0)
    return {"pipe_write_read_us": write_read_us, "pipe_round_trip_us": round_trip_us}


def bandwidth(case: Case, nbytes: int) -> Figures:
    """GB/s of several processes at once, together; they share out the buffers of `nbytes` each.

    What counts is the bytes that arrive in the buffers, so a fill that is then copied counts once.
    """
    share = max(1, case.in_flight // case.workers)
    return summed(together(case.workers, _write, nbytes, share))


def _write(_: int, nbytes: int, buffers: int) -> Figures:
    elements = nbytes // 4
    source = np.full(elements, 1.0, np.float32)
    scratch = np.full(elements, 2.0, np.float32)
    targets = [np.frombuffer(mmap.mmap(-1, nbytes), np.float32, elements) for _ in range(buffers)]
    for target in targets:
        target.fill(3.0)  # the first touch is not what is measured

    def then_copied(write: Callable[[], object]) -> Callable[[Any], object]:
        return lambda target: (write(), np.copyto(target, scratch))  # type: ignore[func-returns-value]

    writes: dict[str, Callable[[Any], object]] = {
        "np_full_gb_per_s": lambda _: np.full(elements, 5.0, np.float32),
        "fill_gb_per_s": lambda target: target.fill(4.0),
        "copy_gb_per_s": lambda target: np.copyto(target, source),
        "fill_and_copy_gb_per_s": then_copied(lambda: scratch.fill(4.0)),
        "copy_and_copy_gb_per_s": then_copied(lambda: np.copyto(scratch, source)),
    }
    figures = {}
    for name, write in writes.items():

        def turn(write: Callable[[Any], object] = write) -> None:
            for target in targets:
                write(target)

        meet()
        took_s = seconds_each(turn, len(targets), trial_s=TURNS_S, trials=TURNS_TRIALS)
        figures[name] = nbytes / took_s / 1e9
    return figures


def loops(case: Case, sequence: Any) -> Figures:
    """Independent plain loops at once: the rate of all of them together."""
    return summed(together(case.workers, _loop, case, sequence))


def _loop(number: int, case: Case, sequence: Any) -> Figures:
    def checked() -> Iterator[Any]:
        for index in itertools.count(number, case.workers):
            batch = sequence[index]
            check_batch(batch, index, case.touch, sequence)
            yield batch

    batches = checked()
    meet()
    consume(batches, case.warmup_s)
    meet()
    return consume(batches, case.measure_s)[1]


def consume(batches: Iterator[Any], seconds: float, min_batches: int = 1) -> tuple[int, Figures]:
    """Take batches for `seconds`, and `min_batches` at least. How many, and how fast they came."""
    count = items = nbytes = 0
    begun_s = now_s = time.perf_counter()
    for array, labels in batches:
        count += 1
        items += len(labels)
        nbytes += array.nbytes + labels.nbytes
        now_s = time.perf_counter()
        if count >= min_batches and now_s >= begun_s + seconds:
            break
    wall_s = now_s - begun_s
    return count, {
        "batches_per_s": count / wall_s,
        "items_per_s": items / wall_s,
        "gb_per_s": nbytes / wall_s / 1e9,
    }


def sleepers(sequence: Any, processes: int) -> Figures:
    """Processes that sleep through their even share of the items, and talk to nobody."""
    spans = together(processes, _sleep, sequence, processes)
    wall_s = max(ended for _, ended in spans) - min(begun for begun, _ in spans)
    return {"wall_s": wall_s, "over_even_share": wall_s / (sequence.work_s() / processes)}


def _sleep(number: int, sequence: Any, processes: int) -> tuple[float, float]:
    # A stretch, not every nth item: the long items would all be one process's.
    share = len(sequence) // processes
    meet()
    begun_s = time.perf_counter()
    for index in range(number * share, (number + 1) * share):
        time.sleep(sequence.duration_s(index))
    return begun_s, time.perf_counter()


def interpreters(processes: int) -> Figures:
    """Fresh interpreters at once that import what a worker needs, until all have ended."""
    begun_s = time.perf_counter()
    command = [sys.executable, "-c", WORKER_IMPORTS]
    started = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(processes)]
    statuses = [process.wait() for process in started]
    wall_s = time.perf_counter() - begun_s
    if any(statuses):
        raise RuntimeError(f"{WORKER_IMPORTS!r} ended with {statuses}")
    return {"first_batch_s": wall_s}


def summed(each: list[Figures]) -> Figures:
    """What several processes reach together."""
    return {name: sum(one[name] for one in each) for name in each[0]}


# --- several processes at once, all of them beginning together ----------------------------

_barrier: Any = None


def together(processes: int, function: Callable[..., Answer], *arguments: Any) -> list[Answer]:
    """Call `function(number, *arguments)` in forked processes; each must call `meet()`.

    It is what keeps one process from taking two calls, so it must come before the first is done.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    calls = [(number, *arguments) for number in range(processes)]
    with context.Pool(processes, initializer=_meet_at, initargs=(barrier,)) as pool:
        return pool.starmap(function, calls, chunksize=1)


def meet() -> None:
    """Wait until all processes are here."""
    _barrier.wait(PATIENCE_S)


def _meet_at(barrier: Any) -> None:
    global _barrier
    _barrier = barrier
