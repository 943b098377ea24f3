from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from holders import LENGTH, Flip, Holder, Shuffling
from runs import INLINE, PROCESSES, THREADS, batches_of

from seqloader import (
    BatchedSequence,
    OrderedEnqueuer,
    SeqloaderWarning,
    Sequence,
    WeightedMix,
    WorkerLostWarning,
)

SPAWNED_OR_FORKED = {**PROCESSES, "3": {"workers": 3}}
WAYS = {**SPAWNED_OR_FORKED, "thread": THREADS}


@pytest.mark.parametrize("way", WAYS)
def test_with_a_seed_what_is_drawn_depends_on_epoch_and_index_alone(way: str) -> None:
    expected = batches_of(Shuffling(), 3, workers=0, seed=0)

    assert batches_of(Shuffling(), 3, seed=0, **WAYS[way]) == expected


@pytest.mark.parametrize("options", [*WAYS.values(), INLINE], ids=str)
def test_with_a_seed_no_number_comes_twice(options: dict[str, Any]) -> None:
    drawn = [number for batch in batches_of(Holder(), seed=0, **options) for number in batch]

    assert len(set(drawn)) == len(drawn) == 2 * LENGTH * 20


@pytest.mark.parametrize("way", PROCESSES)
def test_without_a_seed_no_number_comes_twice_in_worker_processes(way: str) -> None:
    drawn = [number for batch in batches_of(Holder(), **WAYS[way]) for number in batch]

    assert len(set(drawn)) == len(drawn)


def test_without_a_seed_the_consumers_own_batches_draw_on() -> None:
    rng = np.random.default_rng(0)

    drawn = [batch[0] for batch in batches_of(Pair(np.random.default_rng(0)), workers=0)]

    assert drawn == [rng.random() for _ in range(8)]


class Pair(Sequence):
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.rng.random(), index


@pytest.mark.parametrize("options", [INLINE, PROCESSES["2"], THREADS])
def test_a_generator_that_the_trainer_shares_is_left_where_it_was(options: dict[str, Any]) -> None:
    for shared in (np.random.default_rng(3), random.Random(3), np.random.RandomState(3)):
        twin = type(shared)(3) if not hasattr(shared, "bit_generator") else np.random.default_rng(3)
        assert shared.random() == twin.random()

        batches_of(Pair(shared), seed=0, **options)

        assert shared.random() == twin.random()


def test_a_killed_worker_repeats_no_number(tmp_path: Path) -> None:
    expected = batches_of(Holder(), seed=0, workers=0)

    with pytest.warns(WorkerLostWarning):
        assert batches_of(Killed(tmp_path), seed=0, workers=2) == expected
    with pytest.warns(WorkerLostWarning):
        drawn = batches_of(Killed(tmp_path / "again"), workers=2)
    assert len({number for batch in drawn for number in batch}) == 2 * LENGTH * 20


class Killed(Holder):
    def __init__(self, scratch: Path) -> None:
        super().__init__()
        scratch.mkdir(exist_ok=True)
        self.mark = scratch / "killed"

    def __getitem__(self, index: int) -> list[float]:
        if index == 5 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_resumed_run_draws_the_same() -> None:
    expected = batches_of(Holder(), seed=4, workers=0)
    with OrderedEnqueuer(Holder(), seed=4, workers=2) as first:
        batches = iter(first)
        seen = [next(batches) for _ in range(5)]
        state = first.state_dict()
    with OrderedEnqueuer(Holder(), workers=1) as second:
        second.load_state_dict(state)
        seen += [batch for _ in range(2) for batch in second]

    assert seen == expected


def test_compute_is_what_a_worker_computes_and_leaves_no_trace() -> None:
    sequence = Holder()
    expected = batches_of(Holder(), seed=4, workers=0)
    enqueuer = OrderedEnqueuer(sequence, seed=4, workers=2)
    before = sequence.rng.bit_generator.state

    assert enqueuer.compute(3, epoch=1) == expected[LENGTH + 3]
    assert enqueuer.compute(0) == expected[0]
    assert sequence.rng.bit_generator.state == before


class Lazy(Sequence):
    """Makes its generator when it is first needed, always the same."""

    rng: Any = None

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        if self.rng is None:
            self.rng = np.random.default_rng()
        return self.rng.random()


@pytest.mark.parametrize("way", SPAWNED_OR_FORKED)  # threads may make several at once
def test_a_generator_made_in_getitem_is_set_from_the_first_batch_on(way: str) -> None:
    expected = batches_of(Lazy(), seed=0, workers=0)

    assert len(set(expected)) == 16
    assert batches_of(Lazy(), seed=0, **WAYS[way]) == expected


class Replaced(Holder):
    """A hook puts others in the place of its generators."""

    def on_epoch_end(self) -> None:
        self.rng = self.same = np.random.default_rng(77)
        self.transforms[0] = Flip(77)


@pytest.mark.parametrize("way", WAYS)
def test_generators_that_a_hook_puts_in_are_set_too(way: str) -> None:
    expected = batches_of(Replaced(), 3, seed=0, workers=0)

    assert len({number for batch in expected for number in batch}) == 3 * LENGTH * 20
    assert batches_of(Replaced(), 3, seed=0, **WAYS[way]) == expected


def test_threads_that_must_take_turns_say_so_once() -> None:
    def two_epochs() -> int:
        with OrderedEnqueuer(Holder(), seed=0, workers=2, use_multiprocessing=False) as enqueuer:
            return sum(len(list(enqueuer)) for _ in range(2))

    with pytest.warns(SeqloaderWarning, match="one at a time") as said:
        delivered = two_epochs()

    assert delivered == 2 * LENGTH
    assert len(said) == 1


class Noisy:
    """A dataset of samples, each with noise from its own generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return np.array([index, self.rng.random()])


@pytest.mark.parametrize("way", ["2", "fork"])
def test_generators_in_what_a_sequence_is_made_of_are_set(way: str) -> None:
    def mix() -> Any:
        return WeightedMix(
            [BatchedSequence(Noisy(0), 2), BatchedSequence(Noisy(0), 2)], weights=[1, 1]
        )

    def numbers(**options: Any) -> list[Any]:
        return [batch.tolist() for batch in batches_of(mix(), seed=0, **options)]

    expected = numbers(workers=0)

    assert numbers(**WAYS[way]) == expected
    noise = [sample[1] for batch in expected for sample in batch]
    assert len(set(noise)) == len(noise)


class OwnGlobals(Sequence):
    """Holds the process's own generators, as scikit-learn's `check_random_state(None)` does."""

    def __init__(self) -> None:
        self.legacy = np.random.mtrand._rand
        self.draw = random.random

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return self.legacy.random_sample(), np.random.random(), self.draw(), random.random()


@pytest.mark.parametrize("way", PROCESSES)
def test_the_process_own_generators_held_by_an_attribute_stay_the_process_own(way: str) -> None:
    expected = batches_of(OwnGlobals(), seed=0, workers=0)

    assert batches_of(OwnGlobals(), seed=0, **WAYS[way]) == expected
    assert len({number for batch in expected for number in batch}) == 48
