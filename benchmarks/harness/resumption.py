"""What it costs to save the place of a loader, and to go on from a place that was saved."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness.cases import Case
from harness.checks import WrongBatch
from harness.resumable import Enqueuer, Resumable, find, first_label

__all__ = ["MEASURES"]

LEAST_SAVES = 100
SKIPPED_EVERY = 1_000
"""Positions that are skipped lie this far apart, so that each is a range of its own."""


def resume(case: Case) -> dict[str, float]:
    """Milliseconds from constructing a loader to its first batch, there and at the beginning.

    Both are measured in one process, in turn A B B A, after one of each as warm-up.
    """
    position = int(case.workload_options["position"])
    loader = find(case)
    due = loader.label_at(position)
    begun = loader.label_at(0)
    state = loader.state_at(position)
    fresh_ms: list[float] = []
    resumed_ms: list[float] = []

    def fresh() -> None:
        fresh_ms.append(_first_batch_ms(loader, begun))

    def resumed() -> None:
        resumed_ms.append(_first_batch_ms(loader, due, state))

    fresh()
    resumed()
    fresh_ms.clear()
    resumed_ms.clear()
    end_s = time.perf_counter() + case.measure_s
    while not fresh_ms or time.perf_counter() < end_s:
        for start in (resumed, fresh, fresh, resumed):
            start()
    return {
        "fresh_ms": statistics.median(fresh_ms),
        "resumed_ms": statistics.median(resumed_ms),
        "resumed_over_fresh": statistics.median(
            there / here for there, here in zip(resumed_ms, fresh_ms, strict=True)
        ),
        "pairs": len(fresh_ms),
    }


def _first_batch_ms(loader: Resumable, due: int, state: Any = None) -> float:
    begun_s = time.perf_counter()
    batches = loader.open(state)
    label = first_label(next(batches))
    took_s = time.perf_counter() - begun_s
    del batches
    loader.close()
    if label != due:
        raise WrongBatch(f"the first batch holds {label} where {due} was due")
    return took_s * 1e3


def save(case: Case) -> dict[str, float]:
    """Microseconds to save the place in mid-epoch, workers running, each time after a batch.

    It is timed in the step of a loop, as a training takes it, not over and over at one place.
    """
    loader = find(case)
    batches = loader.open()
    try:
        if "skipped" in case.workload_options:
            _skip(loader, int(case.workload_options["skipped"]))
        times_s = list(_save_times_s(case, loader, batches))
        nbytes = len(json.dumps(loader.save(), default=repr))
    finally:
        del batches
        loader.close()
    return {"save_us": statistics.median(times_s) * 1e6, "state_nbytes": nbytes}


def _skip(loader: Resumable, count: int) -> None:
    """Leave out so many single positions that lie ahead."""
    if not isinstance(loader, Enqueuer):
        raise TypeError(f"{type(loader).__name__} can leave nothing out")
    ahead = range(SKIPPED_EVERY, (count + 1) * SKIPPED_EVERY, SKIPPED_EVERY)
    loader.enqueuer.skip(ahead)


def _save_times_s(case: Case, loader: Resumable, batches: Iterator[Any]) -> Iterator[float]:
    end_s = time.perf_counter() + case.warmup_s + case.measure_s
    warm_at_s = end_s - case.measure_s
    for count, _ in enumerate(_steps(loader, batches)):
        begun_s = time.perf_counter()
        loader.save()
        now_s = time.perf_counter()
        if begun_s >= warm_at_s:
            yield now_s - begun_s
        if now_s >= end_s and count >= LEAST_SAVES:
            return


def _steps(loader: Resumable, batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, and those of the epochs that follow where an epoch is short."""
    yield from batches
    while isinstance(loader, Enqueuer):
        yield from loader.enqueuer


MEASURES: dict[str, Callable[[Case], dict[str, float]]] = {
    "resume": resume,
    "save": save,
}
