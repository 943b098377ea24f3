"""What is set between epochs in the objects that a Sequence is made of reaches the workers."""

from __future__ import annotations

from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seqloader import BatchedSequence, OrderedEnqueuer, Sequence, WeightedMix
from seqloader.sequence.bindings import bindings

METHODS = ["spawn", "fork"]


class Samples:
    """A dataset that torch's users tell the epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return self.epoch


class Subset:
    """A dataset around another, as torch has them."""

    def __init__(self, *datasets: Any) -> None:
        self.datasets = list(datasets)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.datasets[index % len(self.datasets)][index]


class Adding:
    """A transform with a setting."""

    def __init__(self) -> None:
        self.epoch = 0

    def __call__(self, sample: Any, rng: Any) -> Any:
        return self.epoch

    def apply(self, sample: Any, rng: Any) -> Any:
        return self.epoch


class Sampler:
    """Has `set_epoch`, in slots."""

    __slots__ = ("epoch",)

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Sampled(Sequence):
    """A Sequence of the user's around a sampler."""

    def __init__(self) -> None:
        self.sampler: Any = Sampler()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return [self.sampler.epoch]


class SampledTwice(Sampled):
    """Holds its samplers in a dict."""

    def __init__(self) -> None:
        self.samplers = {"train": Sampler()}

    @property
    def sampler(self) -> Any:  # type: ignore[override]
        return self.samplers["train"]


def of_dataset() -> tuple[Any, Any]:
    dataset = Samples()
    return BatchedSequence(dataset, 2), dataset.set_epoch


def of_subset() -> tuple[Any, Any]:
    dataset = Samples()
    return BatchedSequence(Subset(dataset), 2), dataset.set_epoch


def of_mix() -> tuple[Any, Any]:
    dataset = Samples()
    return BatchedSequence(WeightedMix([dataset], [1]), 2), dataset.set_epoch


def of_mixed_batches() -> tuple[Any, Any]:
    dataset = Samples()
    return WeightedMix([BatchedSequence(dataset, 2)], [1]), dataset.set_epoch


def of_transform() -> tuple[Any, Any]:
    transform = Adding()
    batches = BatchedSequence([1, 2, 3, 4], 2, transform=transform)
    return batches, lambda epoch: setattr(transform, "epoch", epoch)


def of_method() -> tuple[Any, Any]:
    transform = Adding()
    batches = BatchedSequence([1, 2, 3, 4], 2, transform=transform.apply)
    return batches, lambda epoch: setattr(transform, "epoch", epoch)


def of_attribute_of_dataset() -> tuple[Any, Any]:
    dataset = Samples()
    return BatchedSequence(dataset, 2), lambda epoch: setattr(dataset, "epoch", epoch)


def of_sampler() -> tuple[Any, Any]:
    sequence = Sampled()
    return sequence, sequence.sampler.set_epoch


def of_samplers() -> tuple[Any, Any]:
    sequence = SampledTwice()
    return sequence, sequence.sampler.set_epoch


@pytest.mark.parametrize(
    "make",
    [
        of_dataset,
        of_subset,
        of_mix,
        of_mixed_batches,
        of_transform,
        of_method,
        of_attribute_of_dataset,
        of_sampler,
        of_samplers,
    ],
)
@pytest.mark.parametrize("start_method", METHODS)
def test_set_epoch_between_epochs_is_seen_by_every_worker(make, start_method):
    sequence, set_epoch = make()
    seen = []

    with OrderedEnqueuer(sequence, workers=1, start_method=start_method) as enqueuer:
        for epoch in (0, 3, 3, 4):
            set_epoch(epoch)
            seen.append([{int(x) for x in batch} for batch in enqueuer])

    assert seen == [[{epoch}, {epoch}] for epoch in (0, 3, 3, 4)]


class ShufflesInPlace:
    """set_epoch binds nothing anew; nor does it in what it hands the epoch on to."""

    def __init__(self):
        self.order, self.settings = np.arange(8), SimpleNamespace(epoch=0)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return int(self.order[index]), self.settings.epoch

    def set_epoch(self, epoch):
        np.random.RandomState(epoch).shuffle(self.order)
        self.settings.epoch = epoch


@pytest.mark.parametrize("start_method", METHODS)
@pytest.mark.parametrize("batch_size", [None, 4], ids=["the Sequence itself", "its dataset"])
def test_what_set_epoch_changes_in_place_is_seen_in_the_next_epoch(batch_size, start_method):
    dataset, expected = ShufflesInPlace(), ShufflesInPlace()
    sequence: Any = dataset
    if batch_size is not None:
        sequence = BatchedSequence(dataset, batch_size=batch_size, collate=list)

    with OrderedEnqueuer(sequence, workers=2, start_method=start_method) as enqueuer:
        for epoch in (1, 2, 2, 3):
            dataset.set_epoch(epoch)
            expected.set_epoch(epoch)
            delivered = [*enqueuer] if batch_size is None else [*chain.from_iterable(enqueuer)]
            assert delivered == [expected[index] for index in range(8)]


def test_where_nothing_is_set_the_workers_and_their_state_stay():
    sequence, set_epoch = of_dataset()
    with OrderedEnqueuer(sequence, workers=1) as enqueuer:
        list(enqueuer)
        executor: Any = enqueuer._run.session.executor
        before = executor._state.version
        list(enqueuer)
        assert executor._state.version == before
        set_epoch(5)
        list(enqueuer)
        assert executor._state.version != before


def test_a_circle_of_objects_is_looked_at_once():
    sequence = Sampled()
    sequence.sampler = Samples()
    sequence.sampler.owner = sequence
    sequence.sampler.twin = sequence.sampler

    assert ".sampler.epoch" in bindings(sequence)


def test_a_stub_that_answers_to_any_name_is_let_alone():
    class Stub:
        def __getattr__(self, name: str) -> Any:
            return self

    sequence = Sampled()
    sequence.sampler = Stub()

    assert bindings(sequence) == {"sampler": sequence.sampler}
