"""The program of one run, in its own fresh interpreter. Every batch is checked.

python -m harness.measures CASE_JSON RESULT_PATH

The window in which a stream is measured begins and ends with the engine in full swing: what was
computed ahead during the warm-up counts for the run, and what is computed ahead at its end counts
against it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peers import Loader
from peers import find as find_peer

from harness import devices, gathers, limits, resumption, workloads
from harness.cases import Case
from harness.footprint import tree_cpu_s, tree_memory_bytes
from harness.limits import Figures
from harness.workloads import WrongBatch, check_batch

WARMUP_CAP_S = 3.0
"""A warm-up that waits for a number of batches is given up after this: an engine that slow has no
memory that could get warm."""
EPOCHS_CAP_S = 4.0
"""Epochs are counted for no longer than this, though five at least."""
MEMORY_SAMPLES = 3


def stream(case: Case) -> Figures:
    """Batches a second, CPU and memory, in mid-epoch."""
    sequence = _sequence(case)
    with _open(case, sequence) as loader:
        batches = _checked(case, loader, sequence)
        _warm_up(case, batches)

        all_before_s, own_before_s = tree_cpu_s(), time.process_time()
        count, rates = limits.consume(batches, case.measure_s, case.min_batches)
        own_s = time.process_time() - own_before_s
        all_s = tree_cpu_s() - all_before_s

        memory_bytes = _memory_in_full_swing(batches)
        workers = getattr(loader, "workers", case.workers)
    return {
        "batches": count,
        "workers": workers,
        **rates,
        "consumer_us": own_s / count * 1e6,
        "all_us": all_s / count * 1e6,
        "memory_mb": memory_bytes / 1e6,
    }


def _checked(case: Case, loader: Loader, sequence: Any) -> Iterator[Any]:
    """The batches of a stream, each checked; epoch after epoch where the case says so."""
    while True:
        count = 0
        for index, batch in enumerate(loader.epoch()):
            check_batch(batch, index, case.touch, sequence)
            count += 1
            yield batch
            if case.step_s:
                time.sleep(case.step_s)
        if not case.goes_on:
            raise WrongBatch(f"the epoch ended {count} batches into a stream that has no end")
        if count != len(sequence):
            raise WrongBatch(f"an epoch of {len(sequence)} batches delivered {count}")


def _warm_up(case: Case, batches: Iterator[Any]) -> None:
    wanted, warmup_s = (
        max(case.min_batches // 2, case.warmup_batches),
        case.warmup_s + case.settle_s,
    )
    begun_s = time.perf_counter()
    for count, _ in enumerate(batches, start=1):
        elapsed_s = time.perf_counter() - begun_s
        if count >= wanted and elapsed_s >= warmup_s:
            return
        if count >= case.min_batches // 2 and elapsed_s >= max(warmup_s, WARMUP_CAP_S):
            return


def _memory_in_full_swing(batches: Iterator[Any]) -> int:
    """The most memory seen, after the timing. While a sample is taken the queue fills up."""
    seen_bytes = [tree_memory_bytes()]
    for _ in range(MEMORY_SAMPLES - 1):
        next(batches)
        seen_bytes.append(tree_memory_bytes())
    return max(map(int, seen_bytes))


def epochs(case: Case) -> Figures:
    """Milliseconds a whole epoch takes, turn-around included; two epochs are warm-up."""
    sequence = _sequence(case)
    with _open(case, sequence) as loader:
        for _ in range(2):
            _whole_epoch(case, loader, sequence)
        first_ms: list[float] = []
        begun_s = now_s = time.perf_counter()
        while len(first_ms) < case.epochs:
            first_ms.append(_whole_epoch(case, loader, sequence) * 1e3)
            now_s = time.perf_counter()
            if len(first_ms) >= 5 and now_s - begun_s > EPOCHS_CAP_S:
                break
        wall_s = now_s - begun_s
    return {
        "epochs": len(first_ms),
        "epoch_ms": wall_s / len(first_ms) * 1e3,
        "first_batch_ms": statistics.median(first_ms),
        "slowest_first_batch_ms": max(first_ms),
    }


def makespan(case: Case) -> Figures:
    """Seconds an epoch takes with its workers already running, against two ideals."""
    sequence = _sequence(case)
    walls_s = []
    with _open(case, sequence) as loader:
        _whole_epoch(case, loader, sequence)  # the workers are there, and warm
        for _ in range(case.epochs):
            begun_s = time.perf_counter()
            _whole_epoch(case, loader, sequence)
            walls_s.append(time.perf_counter() - begun_s)
    wall_s, share_s = statistics.median(walls_s), sequence.work_s() / case.workers
    ideal_s = sequence.ideal_s(case.workers, case.in_flight)
    return {
        "wall_s": wall_s,
        "over_ideal": wall_s / ideal_s,
        "over_even_share": wall_s / share_s,
        "ideal_over_even_share": ideal_s / share_s,
    }


def first_batch(case: Case) -> Figures:
    """Seconds from nothing to the first batch, to the last of one epoch, and the memory then.

    A peer's library is imported before the clock starts: a program that trains has it already.
    """
    sequence = _sequence(case)
    _import_libraries(case.engine)
    begun_s = time.perf_counter()
    with _open(case, sequence) as loader:
        opened_s = time.perf_counter() - begun_s
        first_s = opened_s + _whole_epoch(case, loader, sequence)
        epoch_s = time.perf_counter() - begun_s
        memory_mb = tree_memory_bytes() / 1e6
    return {"first_batch_s": first_s, "epoch_s": epoch_s, "memory_mb": memory_mb}


def _import_libraries(engine: str) -> None:
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # as the peer does, before Keras is imported
    for module in find_peer(engine).imports:
        importlib.import_module(module)


def own_cost(case: Case) -> Figures:
    """What checking and touching a batch costs the consumer, as part of its figure."""
    sequence = _sequence(case)
    batch = sequence[7]
    check_s = limits.seconds_each(lambda: check_batch(batch, 7, case.touch, sequence))
    return {"check_us": check_s * 1e6}


def _whole_epoch(case: Case, loader: Loader, sequence: Any) -> float:
    """Deliver and check one epoch; seconds until its first batch was there."""
    first_s = 0.0
    count = 0
    begun_s = time.perf_counter()
    for index, batch in enumerate(loader.epoch()):
        if index == 0:
            first_s = time.perf_counter() - begun_s
        check_batch(batch, index, case.touch, sequence)
        count += 1
    if count != len(sequence):
        raise WrongBatch(f"an epoch of {len(sequence)} batches delivered {count}")
    return first_s


def _sequence(case: Case) -> Any:
    return workloads.find(case.workload)(**case.workload_options)


def _open(case: Case, sequence: Any) -> contextlib.closing[Loader]:
    options: dict[str, Any] = {}
    if case.seed is not None:
        options["seed"] = case.seed
    if case.start_method:
        options["start_method"] = case.start_method
    loader = find_peer(case.engine).maker()(sequence, case.workers, case.in_flight, **options)
    return contextlib.closing(loader)


MEASURES: dict[str, Callable[[Case], Figures]] = {
    "stream": stream,
    "epochs": epochs,
    "makespan": makespan,
    "first_batch": first_batch,
    "own_cost": own_cost,
    "pipe": lambda case: limits.pipe(),
    "bandwidth": lambda case: limits.bandwidth(case, _sequence(case)[0][0].nbytes),
    "loops": lambda case: limits.loops(case, _sequence(case)),
    "sleepers": lambda case: limits.sleepers(_sequence(case), case.workers),
    "interpreters": lambda case: limits.interpreters(case.workers),
    **devices.MEASURES,
    **gathers.MEASURES,
    **resumption.MEASURES,
}
"""What `Case.measure` names."""


def main(case_json: str, result_path: str) -> None:
    """Measure the case given as JSON, and write its figures to a file."""
    case = Case.from_json(case_json)
    try:
        outcome: dict[str, object] = {"figures": MEASURES[case.measure](case)}
    except WrongBatch as error:
        outcome = {"wrong": str(error)}
    Path(result_path).write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
