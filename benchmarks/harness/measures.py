"""What a run measures, inside its own fresh interpreter. Every batch is checked.

The window in which a stream is measured begins and ends with the engine in full swing: what was
computed ahead during the warm-up counts for the run, and what is computed ahead at its end counts
against it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness import primitives, workloads
from harness.cases import Case
from harness.engines import Engine, open_engine
from harness.footprint import tree_cpu_s, tree_memory_bytes

__all__ = ["WrongBatch", "check_batch", "find"]

Figures = dict[str, float]
STRIDE = 4096  # elements between two that the consumer touches


class WrongBatch(Exception):
    """A batch came out of order, was lost or doubled, or does not hold what was computed."""


def check_batch(batch: Any, index: int, touch: bool) -> None:
    """Raise WrongBatch unless this is batch `index`; with `touch`, read every 4096th element."""
    array, labels = batch
    if labels.item(0) != index or labels.item(-1) != index:
        raise WrongBatch(f"batch {labels.item(0)} came where {index} was due")
    if not touch:
        return
    value = workloads.expected(index)
    if array.size <= STRIDE:
        intact = array.item(0) == value
    else:
        intact = bool((array.reshape(-1)[::STRIDE] == value).all())
    if not intact:
        raise WrongBatch(f"batch {index} does not hold what was computed")


def stream(case: Case) -> Figures:
    """Batches a second, CPU and memory, in mid-epoch."""
    sequence = _sequence(case)
    with _open(case, sequence) as engine:
        batches = enumerate(engine.epoch())
        _consume(case, batches, case.min_batches // 2, case.warmup_s)

        all_before_s, own_before_s = tree_cpu_s(), time.process_time()
        begun_s = time.perf_counter()
        count, nbytes = _consume(case, batches, case.min_batches, case.measure_s)
        wall_s = time.perf_counter() - begun_s
        own_s = time.process_time() - own_before_s
        all_s = tree_cpu_s() - all_before_s

        memory_bytes = tree_memory_bytes(os.getpid())
    figures = {
        "batches": count,
        "batches_per_s": count / wall_s,
        "gb_per_s": nbytes / wall_s / 1e9,
        "consumer_us": own_s / count * 1e6,
        "all_us": all_s / count * 1e6,
    }
    if memory_bytes is not None:
        figures["memory_mb"] = memory_bytes / 1e6
    return figures


def _consume(
    case: Case, batches: Iterator[tuple[int, Any]], min_batches: int, seconds: float
) -> tuple[int, int]:
    """Take batches for `seconds`, and `min_batches` at least. How many, and how many bytes."""
    count = nbytes = 0
    end_s = time.perf_counter() + seconds
    for index, batch in batches:
        check_batch(batch, index, case.touch)
        count += 1
        nbytes += batch[0].nbytes + batch[1].nbytes
        if count >= min_batches and time.perf_counter() >= end_s:
            return count, nbytes
    raise WrongBatch(f"the epoch ended {count} batches into a stream that has no end")


def epochs(case: Case) -> Figures:
    """Milliseconds a whole epoch takes, turn-around included; two epochs are warm-up."""
    sequence = _sequence(case)
    with _open(case, sequence) as engine:
        for _ in range(2):
            _whole_epoch(engine, sequence, case.touch)
        first_ms = []
        begun_s = time.perf_counter()
        for _ in range(case.epochs):
            first_ms.append(_whole_epoch(engine, sequence, case.touch) * 1e3)
        wall_s = time.perf_counter() - begun_s
    return {
        "epoch_ms": wall_s / case.epochs * 1e3,
        "first_batch_ms": statistics.median(first_ms),
        "slowest_first_batch_ms": max(first_ms),
    }


def makespan(case: Case) -> Figures:
    """Seconds an epoch takes with its workers already running, against two ideals."""
    sequence = _sequence(case)
    walls_s = []
    with _open(case, sequence) as engine:
        _whole_epoch(engine, sequence, case.touch)  # the workers are there, and warm
        for _ in range(case.epochs):
            begun_s = time.perf_counter()
            _whole_epoch(engine, sequence, case.touch)
            walls_s.append(time.perf_counter() - begun_s)
    wall_s = statistics.median(walls_s)
    return {
        "wall_s": wall_s,
        "over_ideal": wall_s / sequence.ideal_s(case.workers, case.in_flight),
        "over_even_share": wall_s / (sequence.work_s() / case.workers),
    }


def first_batch(case: Case) -> Figures:
    """Seconds from nothing to the first batch, to the last of one epoch, and the memory then."""
    sequence = _sequence(case)
    begun_s = time.perf_counter()
    with _open(case, sequence) as engine:
        opened_s = time.perf_counter() - begun_s
        first_s = opened_s + _whole_epoch(engine, sequence, case.touch)
        figures = {"first_batch_s": first_s, "epoch_s": time.perf_counter() - begun_s}
        memory_bytes = tree_memory_bytes(os.getpid())
    if memory_bytes is not None:
        figures["memory_mb"] = memory_bytes / 1e6
    return figures


def own_cost(case: Case) -> Figures:
    """What checking and touching a batch costs the consumer, as part of its figure."""
    batch = _sequence(case)[7]
    return {"check_us": primitives.seconds_each(lambda: check_batch(batch, 7, case.touch)) * 1e6}


def _whole_epoch(engine: Engine, sequence: Any, touch: bool) -> float:
    """Deliver and check one epoch; seconds until its first batch was there."""
    first_s = 0.0
    count = 0
    begun_s = time.perf_counter()
    for index, batch in enumerate(engine.epoch()):
        if index == 0:
            first_s = time.perf_counter() - begun_s
        check_batch(batch, index, touch)
        count += 1
    if count != len(sequence):
        raise WrongBatch(f"an epoch of {len(sequence)} batches delivered {count}")
    return first_s


def _sequence(case: Case) -> Any:
    return workloads.find(case.workload)(**case.workload_options)


def _open(case: Case, sequence: Any) -> Any:
    return open_engine(
        case.engine, sequence, workers=case.workers, in_flight=case.in_flight, seed=case.seed
    )


def find(name: str) -> Callable[[Case], Figures]:
    """The measuring function of that name."""
    measures: dict[str, Callable[[Case], Figures]] = {
        "stream": stream,
        "epochs": epochs,
        "makespan": makespan,
        "first_batch": first_batch,
        "own_cost": own_cost,
        "pipe": lambda case: primitives.pipe(),
        "bandwidth": lambda case: primitives.bandwidth(case.workers),
    }
    return measures[name]
