"""How fast batches are gathered from arrays in memory, by whom, and how fast that can be.

A row holds what follows from its label (`first_of`), so that every batch shows by itself whether
each of its rows belongs to its label. A row that comes twice in an epoch, or never, is found too.
"""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import Loader
from peers.seqloader_enqueuer import Enqueuer
from peers.torch_dataloader import TorchLoader

from harness.cases import Case
from harness.footprint import tree_cpu_s
from harness.limits import meet, summed, together
from harness.workloads import WrongBatch

Array = np.ndarray[Any, np.dtype[Any]]

SEED = 7
DISTINCT = 251  # a prime: neighbouring rows differ, and no batch size divides it


def by_seqloader(case: Case) -> dict[str, float]:
    from seqloader import ArraySequence

    # Its own seed, not the enqueuer's: that would also seed the global generators for each batch,
    # which nobody here draws from, and which no other contestant does.
    sequence = ArraySequence(_arrays(case), _batch(case), shuffle=True, seed=SEED)
    with closing(Enqueuer(sequence, case.workers, case.in_flight)) as gatherer:
        return _rate(case, gatherer)


def by_torch(case: Case) -> dict[str, float]:
    """Samples of a TensorDataset, stacked by the default collate; forked, so nothing is sent."""
    torch: Any = importlib.import_module("torch")
    data: Any = importlib.import_module("torch.utils.data")
    tensors = data.TensorDataset(*map(torch.from_numpy, _arrays(case)))
    loader = TorchLoader(
        tensors, case.workers, case.in_flight, batch_size=_batch(case), shuffle=True
    )
    with closing(loader) as gatherer:
        return _rate(case, gatherer)


def by_take(case: Case) -> dict[str, float]:
    """numpy.take alone, in as many processes at once as the others have workers."""
    global _inherited
    # Not as arguments: those would be pickled, and each process would read memory of its own.
    _inherited = _arrays(case)
    totals = summed(together(case.workers, _take, case))
    return {**totals, "worker_us": totals["worker_us"] / case.workers}


MEASURES: dict[str, Callable[[Case], dict[str, float]]] = {
    "gather_by_seqloader": by_seqloader,
    "gather_by_take": by_take,
    "gather_by_torch": by_torch,
}


_inherited: tuple[Array, Array] | None = None
"""What forked processes gather from."""


def _rate(case: Case, gatherer: Loader) -> dict[str, float]:
    """Batches a second with the queue in full swing: neither where an epoch begins nor ends.

    What was computed ahead when the clock starts counts; what is ahead when it stops does not.
    """
    length = _length(case) // _batch(case)
    margin = case.in_flight + case.workers
    if length < 3 * margin:
        raise ValueError(f"{length} batches an epoch leave too few that are {margin} from its ends")
    warm_at_s = time.perf_counter() + case.warmup_s
    meter = _Meter()
    while meter.wall_s < case.measure_s:
        for number, _ in enumerate(checked_epoch(gatherer, _length(case))):
            in_full_swing = margin <= number < length - margin
            if meter.is_running:
                meter.batches += 1
                if not in_full_swing or meter.wall_s + time.perf_counter() >= case.measure_s:
                    meter.stop()
            elif meter.wall_s >= case.measure_s:
                break
            elif in_full_swing and time.perf_counter() >= warm_at_s:
                meter.start()
    return {
        **_rates(case, meter.batches / meter.wall_s),
        "consumer_us": meter.own_s / meter.batches * 1e6,
        "worker_us": (meter.all_s - meter.own_s) / meter.batches * 1e6,
    }


@dataclass
class _Meter:
    """Wall time, and CPU time of the consumer and of all, of the stretches in which it ran."""

    batches: int = 0
    wall_s: float = 0.0
    own_s: float = 0.0
    all_s: float = 0.0
    is_running: bool = False

    def start(self) -> None:
        self.is_running = True
        self.all_s -= tree_cpu_s()  # it takes a while: outside of the time that it is part of
        self.own_s -= time.process_time()
        self.wall_s -= time.perf_counter()

    def stop(self) -> None:
        self.is_running = False
        self.wall_s += time.perf_counter()
        self.own_s += time.process_time()
        self.all_s += tree_cpu_s()


def checked_epoch(gatherer: Loader, length: int) -> Iterator[None]:
    """One epoch, in which every row comes once, with its own label."""
    seen = np.zeros(length, bool)
    for rows, labels in gatherer.epoch():
        if not (rows[:, 0] == first_of(labels)).all():
            raise WrongBatch(f"a row came with another label than its own: {labels[:8]} ...")
        if seen[labels].any():
            raise WrongBatch(f"a row came twice in an epoch: {labels[seen[labels]][:8]} ...")
        seen[labels] = True
        yield
    if not seen.all():
        raise WrongBatch(f"{np.count_nonzero(~seen)} rows of {len(seen)} never came in an epoch")


def _take(number: int, case: Case) -> dict[str, float]:
    """The rate of one process; it has its share of the warm buffers that are written in turn."""
    assert _inherited is not None
    rows, labels = _inherited
    order = np.random.default_rng(SEED + number).permutation(len(rows))
    indices = itertools.cycle(order.reshape(-1, _batch(case)))
    shape = (_batch(case), rows.shape[1])
    buffers = [
        (np.zeros(shape, rows.dtype), np.zeros(shape[0], labels.dtype))
        for _ in range(max(1, case.in_flight // case.workers))
    ]

    def run(seconds: float) -> dict[str, float]:
        count = 0
        begun_s, own_begun_s = time.perf_counter(), time.process_time()
        while True:
            for row_buffer, label_buffer in buffers:
                chosen = next(indices)
                # Any mode but "raise" writes into `out` itself, not into a copy of it.
                np.take(rows, chosen, axis=0, out=row_buffer, mode="clip")
                np.take(labels, chosen, axis=0, out=label_buffer, mode="clip")
                count += 1
            passed_s = time.perf_counter() - begun_s
            if passed_s >= seconds:
                own_s = time.process_time() - own_begun_s
                return {**_rates(case, count / passed_s), "worker_us": own_s / count * 1e6}

    run(case.warmup_s)
    meet()
    return run(case.measure_s)


def _rates(case: Case, batches_per_s: float) -> dict[str, float]:
    row_nbytes = int(case.workload_options["row_nbytes"]) + 8  # the label
    return {
        "batches_per_s": batches_per_s,
        "samples_per_s": batches_per_s * _batch(case),
        "gb_per_s": batches_per_s * _batch(case) * row_nbytes / 1e9,
    }


def _arrays(case: Case) -> tuple[Array, Array]:
    """`(length, row_nbytes)` uint8 and `(length,)` int64, in memory that workers share."""
    from seqloader import shared_empty

    labels = shared_empty((_length(case),), np.int64)
    labels[:] = np.arange(_length(case))
    rows = shared_empty((_length(case), int(case.workload_options["row_nbytes"])), np.uint8)
    rows[:] = first_of(labels)[:, None]
    return rows, labels


def first_of(labels: Array) -> Any:
    return (labels % DISTINCT).astype(np.uint8)


def _length(case: Case) -> int:
    return int(case.workload_options["rows"])


def _batch(case: Case) -> int:
    return int(case.workload_options["batch"])
