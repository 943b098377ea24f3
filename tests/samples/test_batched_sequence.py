"""`BatchedSequence` in this process: batches, order, transform, state."""

from __future__ import annotations

import pickle
from itertools import chain
from typing import Any

import numpy as np
import pytest
from samples_for_tests import (
    Doubled,
    Hooked,
    Numbers,
    Pictures,
    noisy,
)

from seqloader import BatchedSequence, ResumeError, SeqloaderError, batch_context
from seqloader.randomness.seeding import Seeding
from seqloader.sequence.interface import overrides_hook
from seqloader.tickets import Ticket


def lists(sequence: Any) -> list[list[int]]:
    return [batch.tolist() for batch in sequence]


def computed(sequence: Any, index: int, *, epoch: int = 0, seed: int = 0) -> Any:
    """As an enqueuer with this seed computes it."""
    return Seeding(seed, reseed_globals=False).compute(sequence, Ticket(epoch, index, index))


# Batches


def test_batches_hold_the_samples_in_their_order() -> None:
    assert lists(BatchedSequence(Numbers(10), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("length", "drop", "sizes"),
    [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, False, [4, 4]), (8, True, [4, 4]),
     (3, False, [3]), (3, True, []), (0, False, []), (0, True, [])],
)  # fmt: skip
def test_last_batch_is_smaller_or_left_out(length: int, drop: bool, sizes: list[int]) -> None:
    sequence = BatchedSequence(Numbers(length), 4, drop_remainder=drop)

    assert len(sequence) == sequence.num_batches == len(sizes)
    assert [len(batch) for batch in sequence] == sizes


def test_nests_are_stacked() -> None:
    batch = BatchedSequence(Pictures(10), 4)[1]

    assert batch["image"][:, 0, 0].tolist() == [4, 5, 6, 7]
    assert batch["label"].dtype == np.int64
    assert batch["name"][-1] == "picture 7"


def test_own_collate_gets_the_list_of_samples() -> None:
    assert BatchedSequence(Numbers(5), 3, collate=tuple)[1] == (3, 4)


def test_error_of_stacking_names_the_samples_of_the_source() -> None:
    ragged = [np.zeros(3)] * 10 + [np.zeros(4)]

    with pytest.raises(ValueError, match=r"sample 10: shape \(4,\); sample 8 has shape \(3,\)"):
        BatchedSequence(ragged, 4)[2]


def test_error_of_the_source_names_the_sample() -> None:
    class Broken(Numbers):
        def __getitem__(self, index: int) -> int:
            return 1 // (index - 6)

    with pytest.raises(ZeroDivisionError) as caught:
        BatchedSequence(Broken(10), 4)[1]

    assert caught.value.__notes__ == ["raised by the source for sample 6"]


@pytest.mark.parametrize(("index", "same"), [(-1, 2), (-3, 0), (np.int64(1), 1)])
def test_index_is_that_of_any_python_sequence(index: Any, same: int) -> None:
    sequence = BatchedSequence(Numbers(10), 4, shuffle=True)

    assert sequence[index].tolist() == sequence[same].tolist()


@pytest.mark.parametrize("index", [3, -4])
def test_index_beyond_the_end_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match=rf"{index} was asked for, and there are 3"):
        BatchedSequence(Numbers(10), 4)[index]


def test_length_of_the_source_is_read_anew() -> None:
    source = [1, 2, 3]
    sequence = BatchedSequence(source, 2)

    source += [4, 5]

    assert lists(sequence) == [[1, 2], [3, 4], [5]]


# Order


@pytest.mark.parametrize("blocks", [{}, {"shuffle": "blocks", "block_length": 5}])
def test_every_pass_has_every_sample_once_in_a_new_order(blocks: Any) -> None:
    sequence = BatchedSequence(Numbers(50), 8, **{"shuffle": True, **blocks})

    passes = [[*chain.from_iterable(lists(sequence))] for _ in range(3)]

    assert all(sorted(samples) == [*range(50)] for samples in passes)
    assert len({tuple(samples) for samples in passes}) == 3


def test_passes_of_a_plain_loop_are_the_epochs_of_an_enqueuer_with_the_same_seed() -> None:
    sequence = BatchedSequence(Numbers(20), 6, shuffle=True, seed=5, transform=noisy)
    unseeded = BatchedSequence(Numbers(20), 6, shuffle=True, transform=noisy)

    for epoch in range(3):
        for index, (numbers, noise) in enumerate(sequence):
            other_numbers, other_noise = computed(unseeded, index, epoch=epoch, seed=5)
            assert numbers.tolist() == other_numbers.tolist()
            assert noise.tolist() == other_noise.tolist()


def test_items_outside_of_a_batch_are_those_of_the_first_pass() -> None:
    for seed in (None, 3):
        sequence = BatchedSequence(Numbers(20), 6, shuffle=True, seed=seed, transform=noisy)
        items = [sequence[index][1].tolist() for index in range(len(sequence))]
        assert items == [noise.tolist() for _, noise in sequence]


def test_two_without_a_seed_have_two_orders() -> None:
    assert lists(BatchedSequence(range(100), 10, shuffle=True)) != lists(
        BatchedSequence(range(100), 10, shuffle=True)
    )


def test_own_seed_decides_the_order_in_any_enqueuer() -> None:
    sequence = BatchedSequence(Numbers(50), 50, shuffle=True, seed=1)
    orders = {tuple(computed(sequence, 0, seed=seed).tolist()) for seed in (1, 2, 3)}

    assert orders == {tuple(sequence[0].tolist())}


def test_order_is_another_for_each_seed_and_epoch() -> None:
    sequence = BatchedSequence(Numbers(50), 50, shuffle=True)

    orders = {
        tuple(computed(sequence, 0, seed=seed, epoch=epoch).tolist())
        for seed in range(5)
        for epoch in range(5)
    }

    assert len(orders) == 25


def test_subclass_that_calls_super_works_on_each_batch_once() -> None:
    sequence = Doubled([1, 2, 3], 2)

    assert sequence[0].tolist() == [2, 4]
    assert lists(sequence) == [[2, 4], [6]]


def test_a_billion_samples_are_shuffled_at_once() -> None:
    sequence = BatchedSequence(range(10**9), 32, shuffle=True, seed=0)

    batches = [sequence[index] for index in (0, len(sequence) // 2, len(sequence) - 1)]

    assert len(sequence) == 31_250_000
    assert len({*np.concatenate(batches).tolist()}) == 96


# Transform


def test_random_numbers_of_a_sample_depend_on_seed_epoch_and_sample_alone() -> None:
    def noise_of(sequence: Any, epoch: int = 0) -> dict[int, float]:
        batches = [computed(sequence, index, epoch=epoch) for index in range(len(sequence))]
        return {n: x for numbers, noise in batches for n, x in zip(numbers, noise, strict=True)}

    plain = noise_of(BatchedSequence(Numbers(30), 4, transform=noisy))

    assert len({*plain.values()}) == 30
    assert noise_of(BatchedSequence(Numbers(30), 7, shuffle=True, transform=noisy)) == plain
    assert noise_of(BatchedSequence(np.arange(30), 30, transform=noisy)) == plain
    assert noise_of(BatchedSequence(Numbers(30), 4, transform=noisy), epoch=1) != plain


def test_random_numbers_are_those_that_the_batch_context_gives() -> None:
    def draw(sample: int, rng: np.random.Generator) -> bool:
        return bool(rng.random() == batch_context().sample_rng(sample).random())

    assert computed(BatchedSequence(Numbers(5), 5, transform=draw), 0).all()


def test_transform_in_place_does_not_change_an_array_source() -> None:
    def spoil(row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        row += 1
        return row

    source = np.zeros((6, 2))

    assert BatchedSequence(source, 6, transform=spoil)[0].sum() == 12
    assert not source.any()


def test_error_of_the_transform_names_the_sample() -> None:
    def fail(sample: int, rng: Any) -> None:
        if sample == 5:
            raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        BatchedSequence(Numbers(8), 4, transform=fail, collate=list)[1]

    assert caught.value.__notes__ == ["raised by transform for sample 5"]


# State


def test_state_is_the_same_after_passes() -> None:
    sequence = BatchedSequence([1, 2, 3], 2, shuffle=True)
    before = pickle.dumps(sequence)

    for _ in range(3):
        assert len([*sequence]) == 2

    assert pickle.dumps(sequence) == before


def test_copy_counts_its_own_passes_and_agrees_on_the_order() -> None:
    sequence = BatchedSequence(range(50), 50, shuffle=True)
    first = lists(sequence)

    copy = pickle.loads(pickle.dumps(sequence))

    assert lists(copy) == first


def test_hooks_of_the_source_are_its_own_and_count_only_where_there_are_any() -> None:
    hooked, plain = BatchedSequence(Hooked(4), 2), BatchedSequence(Numbers(4), 2)

    hooked.on_epoch_begin()
    hooked.on_epoch_end()
    plain.on_epoch_end()

    assert hooked.source.calls == ["begin", "end"]
    for name in ("on_epoch_begin", "on_epoch_end"):
        assert overrides_hook(hooked, name)
        assert not overrides_hook(plain, name)
        assert not overrides_hook(BatchedSequence(lambda: Hooked(4), 2), name)


def test_hook_of_a_subclass_counts() -> None:
    class Own(BatchedSequence):
        def on_epoch_end(self) -> None:
            super().on_epoch_end()

    assert overrides_hook(Own(Numbers(4), 2), "on_epoch_end")
    assert not overrides_hook(Own(Numbers(4), 2), "on_epoch_begin")


def test_state_names_what_a_resumed_run_must_agree_with() -> None:
    sequence = BatchedSequence(Numbers(10), 4, shuffle="blocks", block_length=2, seed=7)

    assert sequence.state_dict() == {
        "samples": 10,
        "batch_size": 4,
        "shuffle": "blocks",
        "block_length": 2,
        "drop_remainder": False,
        "seed": 7,
    }


def test_state_that_fits_is_taken_and_the_sources_own_is_loaded() -> None:
    saved = BatchedSequence(Hooked(4), 2)
    saved.on_epoch_begin()
    state = saved.state_dict()
    fresh = BatchedSequence(Hooked(4), 2)

    fresh.load_state_dict(state)

    assert state["parts"] == {"source": {"calls": ["begin"]}}
    assert fresh.source.calls == ["begin"]
    assert fresh.state_dict() == state


@pytest.mark.parametrize(
    ("other", "differences"),
    [
        (BatchedSequence(Numbers(11), 4), ("samples is 10, and was 11 when it was saved",)),
        (
            BatchedSequence(Numbers(10), 5, drop_remainder=True),
            (
                "batch_size is 4, and was 5 when it was saved",
                "drop_remainder is False, and was True when it was saved",
            ),
        ),
        (
            BatchedSequence(Numbers(10), 4, shuffle=True),
            ("shuffle is False, and was True when it was saved",),
        ),
        (
            BatchedSequence(Numbers(10), 4, seed=1),
            ("seed was 1 when the state was saved, and here is none",),
        ),
        (
            BatchedSequence(Hooked(10), 4),
            ("source can load no state, and one was saved",),
        ),
    ],
)
def test_state_that_does_not_fit_is_refused_with_each_difference(
    other: Any, differences: tuple[str, ...]
) -> None:
    sequence = BatchedSequence(Numbers(10), 4)

    with pytest.raises(ResumeError, match="does not fit this BatchedSequence") as caught:
        sequence.load_state_dict(other.state_dict())

    assert isinstance(caught.value, SeqloaderError)
    assert caught.value.differences == differences
    assert all(difference in str(caught.value) for difference in differences)


def test_seed_and_source_state_that_the_saved_has_not_are_named() -> None:
    state = BatchedSequence(Numbers(10), 4).state_dict()

    with pytest.raises(ResumeError) as caught:
        BatchedSequence(Hooked(10), 4, seed=1).load_state_dict(state)

    assert caught.value.differences == (
        "seed is 1, and the saved state has none",
        "source can load a state, and none was saved",
    )


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number of samples, not 2.0"),
        ({"batch_size": True}, TypeError, "batch_size must be a whole number"),
        ({"shuffle": "yes"}, ValueError, "shuffle must be False, True"),
        ({"block_length": 3}, ValueError, "means something with"),
        ({"seed": -1}, ValueError, "seed must be an int >= 0"),
        ({"seed": "a"}, TypeError, "seed must be an int >= 0"),
        ({"drop_remainder": 1}, TypeError, "drop_remainder must be True or False, not 1"),
        ({"collate": "stack"}, TypeError, "collate must be a function, not str"),
        ({"collate": lambda: 0}, TypeError, r"collate is called as collate\(list of samples\)"),
        ({"transform": 3}, TypeError, "transform must be a function, not int"),
        (
            {"transform": lambda sample: sample},
            TypeError,
            r"called as transform\(sample, rng\).*lambda sample, rng: function\(sample\)",
        ),
    ],
)
def test_bad_arguments_are_refused_at_once(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        BatchedSequence([1, 2, 3], **{"batch_size": 2, **arguments})
