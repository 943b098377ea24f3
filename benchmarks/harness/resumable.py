"""Loaders whose place can be saved: each opened anew, or where a saved state says.

A state for a place far in is not earned by going there: the loader is stopped after a few batches,
and the numbers in what it saved are set to the place. (Ours has `seek`.) Whoever resumes checks the
first batch, so a state that was set wrongly is noticed.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from peers.torch_dataloader import to_numpy

from harness.cases import Case
from harness.workloads import Tiny

__all__ = ["Enqueuer", "Resumable", "find", "first_label"]

SEED = 7
STEPS = 4
"""Batches taken before a state is saved that is then set to another place: both workers' turn."""


class Resumable(Protocol):
    """A loader of a workload of `length` batches, or samples, that can be opened many times."""

    def state_at(self, position: int) -> Any:
        """A saved state that says `position` batches were delivered. Leaves nothing open."""

    def label_at(self, position: int) -> int:
        """The first label of the batch at `position`, found without a saved state."""

    def open(self, state: Any = None) -> Iterator[Any]:
        """Construct the loader, load the state, and begin."""

    def save(self) -> Any:
        """The state of the loader that is open."""

    def close(self) -> None:
        """End what `open` began."""


def find(case: Case) -> Resumable:
    """The loader that the case names."""
    made: dict[str, Callable[[Case], Resumable]] = {
        "seqloader": Enqueuer,
        "torchdata": StatefulLoader,
        "Grain": GrainIterator,
    }
    return made[case.engine](case)


def first_label(batch: Any) -> int:
    """Of `(array, labels)`, or of an array of labels."""
    labels = batch[1] if isinstance(batch, (tuple, list)) else batch
    return int(labels[0])


class Enqueuer:
    """seqloader's `OrderedEnqueuer`; with `batch`, over a BatchedSequence of numbers."""

    def __init__(self, case: Case) -> None:
        from seqloader import OrderedEnqueuer

        options = case.workload_options
        length, shuffle = int(options["length"]), bool(options.get("shuffle"))
        sequence: Any = Tiny(length)
        if "batch" in options:
            from seqloader import BatchedSequence

            sequence = BatchedSequence(range(length), int(options["batch"]), shuffle=shuffle)
            shuffle = False  # the samples are shuffled: their batches need not be
        self._make = functools.partial(
            OrderedEnqueuer,
            sequence,
            shuffle=shuffle,
            max_queue_size=case.in_flight,
            seed=SEED,
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
    """torchdata's `StatefulDataLoader`, as in peers/torchdata_stateful.py."""

    def __init__(self, case: Case) -> None:
        warnings.filterwarnings("ignore", category=UserWarning, module="torchdata")  # its own
        self._sequence = Tiny(case.workload_options["length"])
        self._loader_class: Any = importlib.import_module(
            "torchdata.stateful_dataloader"
        ).StatefulDataLoader
        self._workers = case.workers
        self._in_flight = case.in_flight
        self._loader: Any = None
        self._batches: Any = None

    def state_at(self, position: int) -> Any:
        state = _state_after_steps(self)
        state["_snapshot"]["_snapshot_step"] = position
        state["_snapshot"]["_main_snapshot"]["_sampler_iter_yielded"] = position
        return state

    def label_at(self, position: int) -> int:
        return position

    def open(self, state: Any = None) -> Iterator[Any]:
        self._loader = self._loader_class(
            self._sequence,
            batch_size=None,
            num_workers=self._workers,
            prefetch_factor=max(1, self._in_flight // self._workers),
        )
        if state is not None:
            self._loader.load_state_dict(state)
        self._batches = iter(self._loader)
        return map(to_numpy, self._batches)

    def save(self) -> Any:
        return self._loader.state_dict()

    def close(self) -> None:
        # As in peers/torch_dataloader.py: the last reference ends the workers.
        self._batches = self._loader = None
        gc.collect()


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


def _state_after_steps(loader: Resumable) -> Any:
    batches = loader.open()
    for _ in range(STEPS):
        next(batches)
    state = copy.deepcopy(loader.save())
    del batches
    loader.close()
    return state
