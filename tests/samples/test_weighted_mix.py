"""`WeightedMix`: which source each item comes from, and in which context it is computed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_for_tests import Contexts, Hooked, Numbers, Unpicklable, noisy

from seqloader import ArraySequence, BatchedSequence, ResumeError, Sequence, WeightedMix
from seqloader.randomness.context import batch_context, current_batch
from seqloader.randomness.seeding import Seeding
from seqloader.samples.proportions import Proportions
from seqloader.sequence.interface import overrides_hook
from seqloader.tickets import Ticket

WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=6)


def named(*lengths: int) -> list[list[Any]]:
    """Sources whose items are (source, item)."""
    return [[(source, item) for item in range(length)] for source, length in enumerate(lengths)]


def computed(sequence: Any, index: int, *, epoch: int = 0, seed: int = 0) -> Any:
    """As an enqueuer with this seed computes it."""
    return Seeding(seed, reseed_globals=False).compute(sequence, Ticket(epoch, index, index))


def epoch_of(mix: Any, epoch: int, seed: int = 0) -> list[Any]:
    return [computed(mix, index, epoch=epoch, seed=seed) for index in range(len(mix))]


# Which source


@given(weights=WEIGHTS, seed=st.integers(0, 2**64), start=st.integers(0, 10**12))
@settings(deadline=None)
def test_every_item_is_the_next_of_its_source(weights: list[int], seed: int, start: int) -> None:
    proportions = Proportions(weights)
    phases = proportions.phases(seed)
    due: dict[int, int] = {}

    for number in range(start, start + 300):
        source, use = proportions.pick(number, phases)
        assert 0 <= source < len(weights)
        assert use == due.get(source, use)
        assert number < 10**6 or use > 0
        due[source] = use + 1


@given(weights=WEIGHTS, seed=st.integers(0, 2**64))
@settings(deadline=None)
def test_places_are_those_of_a_mixture_that_is_dealt_out_one_by_one(
    weights: list[int], seed: int
) -> None:
    proportions = Proportions(weights)
    phases = proportions.phases(seed)

    assert [tuple(proportions.pick(n, phases)) for n in range(400)] == _dealt(weights, phases, 400)


def _dealt(weights: list[int], phases: tuple[int, ...], count: int) -> list[tuple[int, int]]:
    """Naively: at each split a debt grows by the share; who owes a whole item, gives one."""
    splits = []
    for source, phase in enumerate(phases):
        share = Fraction(weights[source], sum(weights[source:]))
        splits.append([share, Fraction(phase, share.denominator)])
    used = [0] * len(weights)
    dealt = []
    for _ in range(count):
        source = len(weights) - 1
        for number, split in enumerate(splits):
            split[1] += split[0]
            if split[1] >= 1:
                split[1] -= 1
                source = number
                break
        dealt.append((source, used[source]))
        used[source] += 1
    return dealt


@given(weights=WEIGHTS, seed=st.integers(0, 2**64), count=st.integers(1, 10**15))
@settings(deadline=None)
def test_shares_are_kept_to_a_few_items_however_many_there_are(
    weights: list[int], seed: int, count: int
) -> None:
    proportions = Proportions(weights)
    phases = proportions.phases(seed)
    used: dict[int, int] = {}

    for number in range(count, count + 3000):
        source, use = proportions.pick(number, phases)
        used.setdefault(source, use)

    for source, use in used.items():  # before it, `use` of `count` items came from the source
        assert abs(use - Fraction(count * weights[source], sum(weights))) < 2 + len(weights)


def test_equal_weights_take_turns() -> None:
    mixed = epoch_of(WeightedMix(named(20, 20, 20, 20), [1, 1, 1, 1]), 0)

    for start in range(0, 80, 4):
        assert {source for source, _ in mixed[start : start + 4]} == {0, 1, 2, 3}


def test_seed_moves_the_pattern() -> None:
    mix = WeightedMix(named(30, 70), [3, 7])

    assert len({tuple(epoch_of(mix, 0, seed)) for seed in range(30)}) > 3
    fixed = WeightedMix(named(30, 70), [3, 7], seed=1)
    assert epoch_of(fixed, 0, seed=5) == epoch_of(fixed, 0, seed=6) == epoch_of(mix, 0, seed=1)


def test_pattern_never_changes() -> None:
    proportions = Proportions([1, 2, 4])

    sources = [proportions.pick(n, proportions.phases(42)).source for n in range(14)]

    assert sources == [2, 2, 1, 2, 0, 2, 1, 2, 2, 1, 2, 0, 2, 1]


# Lengths and epochs


@pytest.mark.parametrize(
    ("lengths", "weights", "length"),
    [
        ((10, 10), [1, 1], 20),
        ((10, 30), [1, 3], 40),
        ((10, 10, 10), [1, 1, 1], 30),
        ((10, 1000), [1, 1], 20),
        ((5,), [3], 5),
        ((7, 3), [0.7, 0.3], 10),
        ((1, 1000), [1, 999], 1000),
    ],
)
def test_length_lets_nothing_be_used_twice(
    lengths: tuple[int, ...], weights: list[Any], length: int
) -> None:
    assert len(WeightedMix(named(*lengths), weights)) == length


@given(data=st.data(), weights=WEIGHTS, seed=st.integers(0, 1000), epoch=st.integers(0, 50))
@settings(deadline=None, max_examples=50)
def test_no_epoch_of_the_default_length_uses_anything_twice(
    data: st.DataObject, weights: list[int], seed: int, epoch: int
) -> None:
    lengths = [data.draw(st.integers(1, 40)) for _ in weights]

    items = epoch_of(WeightedMix(named(*lengths), weights), epoch, seed)

    assert len({*items}) == len(items)


@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=4), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_epochs_go_on_where_the_one_before_ended(weights: list[int], seed: int) -> None:
    mix = WeightedMix(named(*[7] * len(weights)), weights, length=13)
    met: dict[int, list[int]] = {}

    for epoch in range(12):
        for source, item in epoch_of(mix, epoch, seed):
            met.setdefault(source, []).append(item)

    for source, items in met.items():
        assert items == [number % 7 for number in range(len(items))]
        assert abs(len(items) - 12 * 13 * weights[source] / sum(weights)) < 2 + len(weights)


def test_shares_are_exact_in_the_long_run_although_no_epoch_can_have_them() -> None:
    mix = WeightedMix(named(9, 9), [1, 2], length=10)

    used = Counter(source for epoch in range(300) for source, _ in epoch_of(mix, epoch))

    assert used == {0: 1000, 1: 2000}


def test_plain_loops_are_epochs() -> None:
    mix = WeightedMix(named(3, 3), [1, 1], seed=2, length=3)

    assert [[*mix] for _ in range(4)] == [epoch_of(mix, epoch) for epoch in range(4)]
    assert [mix[index] for index in range(3)] == epoch_of(mix, 0)


def test_endless_source_needs_a_limit_from_elsewhere() -> None:
    class Endless(Sequence):
        num_batches = None

        def __getitem__(self, index: int) -> Any:
            return "endless", index

    both = WeightedMix([Endless(), *named(4)], [1, 1])

    assert len(both) == 8
    assert ("endless", 9) in epoch_of(both, 2)
    with pytest.raises(TypeError, match="give the mixture a length of its own"):
        len(WeightedMix([Endless()], [1]))
    assert len(WeightedMix([Endless()], [1], length=5)) == 5


# Contexts


def test_item_is_computed_in_a_context_of_its_own() -> None:
    mix = WeightedMix([Contexts(5), Contexts(7)], [1, 1], length=100)

    items = epoch_of(mix, 3)

    assert all(item["index"] == item["asked"] for item in items)
    # Before, each was used 150 times, and is now 50 times: of 5 items, and of 7.
    assert {item["epoch"] for item in items} == {*range(30, 40), *range(21, 29)}
    assert len({item["draw"] for item in items}) == 100


def test_no_two_items_share_random_numbers_over_sources_passes_and_epochs() -> None:
    mix = WeightedMix([Contexts(3), Contexts(3)], [1, 2], length=11)

    draws = [item["draw"] for epoch in range(20) for item in epoch_of(mix, epoch)]

    assert len({*draws}) == len(draws)


def test_mix_within_a_mix_shares_none_either() -> None:
    inner = WeightedMix([Contexts(4), Contexts(4)], [1, 1])
    mix = WeightedMix([inner, Contexts(8), inner], [1, 1, 1], length=24)

    draws = [item["draw"] for epoch in range(5) for item in epoch_of(mix, epoch)]

    assert len({*draws}) == len(draws)


def test_context_of_the_batch_is_back_after_its_items() -> None:
    class Around(Sequence):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            before = batch_context()
            inner = [*WeightedMix([Contexts(2)], [1])]
            return batch_context() is before, len(inner)

    assert computed(Around(), 0) == (True, 2)


@pytest.mark.parametrize("shared", [False, True])
def test_threads_of_an_item_see_its_context_where_threads_see_the_batchs(shared: bool) -> None:
    class Threaded(Numbers):
        def __getitem__(self, index: int) -> Any:
            seen: list[Any] = []
            thread = threading.Thread(target=lambda: seen.append(current_batch()))
            thread.start()
            thread.join()
            return seen[0] is current_batch()

    mix = WeightedMix([Threaded(3)], [1])

    assert Seeding(0, False).compute(mix, Ticket(0, 1, 1), shared=shared) is shared


def test_shuffled_sequence_is_shuffled_anew_each_time_it_is_gone_through() -> None:
    batches = BatchedSequence(Numbers(12), 4, shuffle=True)
    mix = WeightedMix([batches, BatchedSequence(Numbers(12), 4, shuffle=True)], [1, 1])
    assert len(mix) == 6

    passes = []
    for epoch in range(4):
        items = [batch.tolist() for batch in epoch_of(mix, epoch)]
        for source in (items[0::2], items[1::2]):
            passes.append(tuple(np.concatenate(source).tolist()))

    assert all(sorted(samples) == [*range(12)] for samples in passes)
    assert len({*passes}) == 8


def test_mix_of_samples_is_batched_and_transformed() -> None:
    mix = WeightedMix([range(100), range(1000, 1300)], [1, 3])
    sequence = BatchedSequence(mix, 32, shuffle=True, transform=noisy)

    batches = [computed(sequence, index) for index in range(len(sequence))]

    numbers = np.concatenate([batch[0] for batch in batches])
    assert sorted(numbers) == [*range(100), *range(1000, 1300)]
    assert len({*np.concatenate([batch[1] for batch in batches])}) == 400


def test_many_at_once_are_what_they_are_one_by_one() -> None:
    mix = WeightedMix([Contexts(5), Contexts(9)], [2, 3])

    class Both(Sequence):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            wanted = [7, 0, 3, 3]
            return mix.__getitems__(wanted), [mix[number] for number in wanted]

    at_once, one_by_one = computed(Both(), 0, epoch=4)

    assert at_once == one_by_one
    with pytest.raises(IndexError):
        BatchedSequence(mix, 2)._batch(range(len(mix), len(mix) + 1))
    assert mix.__getitems__([1])[0]["epoch"] == 0


def test_error_names_source_and_item() -> None:
    class Broken(Numbers):
        def __getitem__(self, index: int) -> int:
            raise OSError("no such picture")

    with pytest.raises(OSError, match="no such picture") as caught:
        computed(WeightedMix([Broken(5)], [1]), 3)

    assert caught.value.__notes__ == ["raised by sources[0] of a WeightedMix for item 3"]


def test_sources_may_be_opened_in_each_process() -> None:
    mix = WeightedMix([lambda: Unpicklable(3), named(3)[0]], [1, 1])

    assert len(epoch_of(mix, 0)) == 6


# Hooks and state


def test_hooks_of_the_sources_are_its_own() -> None:
    first, second = Hooked(3), Hooked(3)
    mix = WeightedMix([first, Numbers(3), second], [1, 1, 1])

    mix.on_epoch_begin()
    mix.on_epoch_end()

    assert first.calls == second.calls == ["begin", "end"]
    assert overrides_hook(mix, "on_epoch_end")
    assert not overrides_hook(WeightedMix([Numbers(3)], [1]), "on_epoch_end")
    assert overrides_hook(BatchedSequence(WeightedMix([Hooked(3)], [1]), 2), "on_epoch_end")


def test_state_is_plain_json_and_is_checked() -> None:
    mix = WeightedMix([Hooked(3), Numbers(9)], [0.25, 0.75], seed=3)
    mix.on_epoch_end()
    state = json.loads(json.dumps(mix.state_dict()))
    same = WeightedMix([Hooked(3), Numbers(9)], [1, 3], seed=3)
    other = WeightedMix([Hooked(4), Numbers(9)], [1, 4], length=12)

    same.load_state_dict(state)

    assert state["weights"] == ["1/4", "3/4"]
    assert same.state_dict() == state
    with pytest.raises(ResumeError) as caught:
        other.load_state_dict(state)
    assert caught.value.differences == (
        "weights is ['1/5', '4/5'], and was ['1/4', '3/4'] when it was saved",
        "lengths is [4, 9], and was [3, 9] when it was saved",
        "seed was 3 when the state was saved, and here is none",
    )


# Arguments


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([0.7, 0.3], ["7/10", "3/10"]),
        ([1 / 3, 2 / 3], ["1/3", "2/3"]),
        ([70, 30], ["7/10", "3/10"]),
        ([1e-9, 3e-9], ["1/4", "3/4"]),
        ([np.float32(0.1), np.int64(1)], ["1/11", "10/11"]),
        ([Decimal("0.1"), Fraction(1, 10)], ["1/2", "1/2"]),
        ([10**400, 10**400], ["1/2", "1/2"]),
        ([1, 10**9], [f"1/{10**9 + 1}", f"{10**9}/{10**9 + 1}"]),
    ],
)
def test_weights_are_of_any_scale(weights: list[Any], shares: list[str]) -> None:
    assert [str(share) for share in Proportions(weights).shares] == shares
    assert sum(Proportions(weights).shares) == 1


@pytest.mark.parametrize(
    ("weights", "error", "said"),
    [
        ([1, 0], ValueError, r"weights\[1\] is 0: .* leave a source out"),
        ([1, -2], ValueError, r"weights\[1\] is -2: a weight must be a positive number"),
        ([1, float("nan")], ValueError, "positive number"),
        ([1, float("inf")], ValueError, "positive number"),
        ([1, Decimal("NaN")], ValueError, "positive number"),
        ([1, True], TypeError, r"weights\[1\] is True"),
        ([1, "2"], TypeError, "positive number"),
        ([1, 1j], TypeError, "positive number"),
        ([1.0, 1e-9], ValueError, "less than a millionth of all weights"),
        ([1], ValueError, "2 sources need as many weights, and there are 1"),
    ],
)
def test_bad_weights_are_refused(weights: list[Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        WeightedMix(named(3, 3), weights)


def test_bad_sources_and_lengths_are_refused() -> None:
    with pytest.raises(TypeError, match=r"sources\[1\]: got a mapping"):
        WeightedMix([[1], {}], [1, 1])
    with pytest.raises(ValueError, match="weights is empty"):
        WeightedMix([], [])
    with pytest.raises(ValueError, match="length must be at least 1"):
        WeightedMix([[1]], [1], length=0)
    with pytest.raises(ValueError, match=r"sources\[1\] is empty"):
        len(WeightedMix([[1], []], [1, 1], length=4))


def test_arrays_are_mixed() -> None:
    mix = WeightedMix([ArraySequence(np.zeros(4), 2), ArraySequence(np.ones(4), 2)], [1, 1])

    assert sorted(batch.sum() for batch in epoch_of(mix, 0)) == [0, 0, 2, 2]


def test_a_subclass_that_computes_its_own_items_is_asked_for_each():
    class Hundreds(WeightedMix):
        def __getitem__(self, index):
            return 100 * super().__getitem__(index)

    mixed = Hundreds([[1, 2], [1, 2]], [1, 1], seed=0)

    assert [batch.tolist() for batch in BatchedSequence(mixed, 2)] == [[100, 100], [200, 200]]


def test_a_source_that_is_there_twice_has_its_hooks_called_once():
    class Ending(list):
        ended = 0

        def on_epoch_end(self):
            self.ended += 1

    source = Ending([1, 2])

    WeightedMix([source, source], [1, 1]).on_epoch_end()

    assert source.ended == 1
