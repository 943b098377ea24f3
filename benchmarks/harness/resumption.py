"""What it costs to save the place of a loader, and to go on from a place that was saved.

A state for a place far in is not earned by going there: the loader is stopped after a few batches,
and the numbers in what it saved are set to the place. (Ours has `seek`.) Whoever resumes checks the
first batch, so a state that was set wrongly is noticed.

A loader here has `state_at(position)`, a saved state that says so many batches were delivered;
`label_at(position)`, the first label there, found without a saved state; `open(state)`, which
constructs it and begins; `save()`, the state while it is open; and `close()`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from peers import find as find_peer

from harness.cases import Case
from harness.workloads import Tiny, WrongBatch

SEED = 7
STEPS = 4
"""Batches taken before a state is saved that is then set to another place: both workers' turn."""
LEAST_SAVES = 100
SKIPPED_EVERY = 1_000
"""Positions that are skipped lie this far apart, so that each is a range of its own."""


def resume(case: Case) -> dict[str, float]:
    """Milliseconds from constructing a loader to its first batch, there and at the beginning.

    Both are measured in one process, in turn A B B A, after one of each as warm-up.
    """
    position = int(case.workload_options["position"])
    loader = find(case)
    fresh = functools.partial(_first_batch_ms, loader, loader.label_at(0))
    due, state = loader.label_at(position), loader.state_at(position)
    resumed = functools.partial(_first_batch_ms, loader, due, state)
    fresh()
    resumed()
    fresh_ms: list[float] = []
    resumed_ms: list[float] = []
    end_s = time.perf_counter() + case.measure_s
    while not fresh_ms or time.perf_counter() < end_s:
        resumed_ms.append(resumed())
        fresh_ms += [fresh(), fresh()]
        resumed_ms.append(resumed())
    pairs = zip(resumed_ms, fresh_ms, strict=True)
    return {
        "fresh_ms": statistics.median(fresh_ms),
        "resumed_ms": statistics.median(resumed_ms),
        "resumed_over_fresh": statistics.median(there / here for there, here in pairs),
        "pairs": len(fresh_ms),
    }


def _first_batch_ms(loader: Any, due: int, state: Any = None) -> float:
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
        skipped = int(case.workload_options.get("skipped", 0))
        if skipped:
            assert isinstance(loader, Enqueuer), f"{type(loader).__name__} can leave nothing out"
            loader.enqueuer.skip(range(SKIPPED_EVERY, (skipped + 1) * SKIPPED_EVERY, SKIPPED_EVERY))
        times_s = list(_save_times_s(case, loader, batches))
        nbytes = len(json.dumps(loader.save(), default=repr))
    finally:
        del batches
        loader.close()
    return {"save_us": statistics.median(times_s) * 1e6, "state_nbytes": nbytes}


def _save_times_s(case: Case, loader: Any, batches: Iterator[Any]) -> Iterator[float]:
    end_s = time.perf_counter() + case.warmup_s + case.measure_s
    warm_at_s = end_s - case.measure_s
    # Those of the epochs that follow where an epoch is short.
    further = (batch for _ in itertools.count() for batch in loader.enqueuer)
    for count, _ in enumerate(itertools.chain(batches, further)):
        begun_s = time.perf_counter()
        loader.save()
        now_s = time.perf_counter()
        if begun_s >= warm_at_s:
            yield now_s - begun_s
        if now_s >= end_s and count >= LEAST_SAVES:
            return


MEASURES: dict[str, Callable[[Case], dict[str, float]]] = {"resume": resume, "save": save}


# --- the loaders ----------------------------------------------------------------------------


def find(case: Case) -> Any:
    """The loader that the case names."""
    made = {"seqloader": Enqueuer, "torchdata": StatefulLoader, "Grain": GrainIterator}
    return made[case.engine](case)


def first_label(batch: Any) -> int:
    """Of `(array, labels)`, or of an array of labels."""
    labels = batch[1] if isinstance(batch, (tuple, list)) else batch
    return int(labels[0])


def _state_after_steps(loader: Any) -> Any:
    batches = loader.open()
    for _ in range(STEPS):
        next(batches)
    state = copy.deepcopy(loader.save())
    del batches
    loader.close()
    return state


class Enqueuer:
    """seqloader's `OrderedEnqueuer`; with `batch`, over a BatchedSequence of numbers."""

    def __init__(self, case: Case) -> None:
        from seqloader import BatchedSequence, OrderedEnqueuer

        options = case.workload_options
        length, shuffle = int(options["length"]), bool(options.get("shuffle"))
        sequence: Any = Tiny(length)
        if "batch" in options:
            sequence = BatchedSequence(range(length), int(options["batch"]), shuffle=shuffle)
            shuffle = False  # the samples are shuffled: their batches need not be
        self._make = functools.partial(
            OrderedEnqueuer, sequence, shuffle=shuffle, max_queue_size=case.in_flight, seed=SEED
        )
        self._workers = case.workers
        self.enqueuer: Any = None

    def state_at(self, position: int) -> Any:
        enqueuer: Any = self._make(workers=0)
        enqueuer.seek(0, position)
        return json.loads(json.dumps(enqueuer.state_dict()))

    def label_at(self, position: int) -> int:
        with contextlib.closing(self._make(workers=0)) as enqueuer:
            enqueuer.seek(0, position)
            return first_label(next(iter(enqueuer)))

    def open(self, state: Any = None) -> Iterator[Any]:
        self.enqueuer = self._make(workers=self._workers)
        if state is not None:
            self.enqueuer.load_state_dict(state)
        return iter(self.enqueuer)

    def save(self) -> Any:
        return self.enqueuer.state_dict()

    def close(self) -> None:
        self.enqueuer.stop()


class StatefulLoader:
    """torchdata's `StatefulDataLoader`."""

    def __init__(self, case: Case) -> None:
        warnings.filterwarnings("ignore", category=UserWarning, module="torchdata")  # its own
        self._make = functools.partial(
            find_peer("torchdata").maker(),
            Tiny(case.workload_options["length"]),
            case.workers,
            case.in_flight,
        )
        self._open: Any = None

    def state_at(self, position: int) -> Any:
        state = _state_after_steps(self)
        state["_snapshot"]["_snapshot_step"] = position
        state["_snapshot"]["_main_snapshot"]["_sampler_iter_yielded"] = position
        return state

    def label_at(self, position: int) -> int:
        return position

    def open(self, state: Any = None) -> Iterator[Any]:
        self._open = self._make(state=state)
        return iter(self._open.epoch())

    def save(self) -> Any:
        return self._open.loader.state_dict()

    def close(self) -> None:
        self._open.close()


class GrainIterator:
    """Grain's `mp_prefetch`, configured as in peers/grain_mp.py."""

    def __init__(self, case: Case) -> None:
        flags: Any = importlib.import_module("absl.flags")
        flags.FLAGS.mark_as_parsed()
        grain: Any = importlib.import_module("grain")
        source = grain.MapDataset.source(Tiny(case.workload_options["length"]))
        if case.workload_options.get("shuffle"):
            source = source.seed(SEED).shuffle()
        self._source = source
        self._dataset = source.to_iter_dataset(
            grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        ).mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=case.workers,
                per_worker_buffer_size=max(1, case.in_flight // case.workers),
            )
        )
        self._workers = case.workers
        self._batches: Any = None

    def state_at(self, position: int) -> Any:
        state = _state_after_steps(self)
        state["next_index_in_cycle"] = position % self._workers
        state["next_index_in_datasets"] = self._workers
        for number, each in enumerate(state["iterators_in_use_states"]):
            each["next_index"] = -(-(position - number) // self._workers)  # of every nth one
        return state

    def label_at(self, position: int) -> int:
        return first_label(self._source[position])

    def open(self, state: Any = None) -> Iterator[Any]:
        self._batches = iter(self._dataset)
        if state is not None:
            self._batches.set_state(state)
        batches: Iterator[Any] = self._batches
        return batches

    def save(self) -> Any:
        return self._batches.get_state()

    def close(self) -> None:
        self._batches.close()
        self._batches = None
