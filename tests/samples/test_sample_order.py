"""The order of samples: a permutation in every epoch, computed and not stored.

What is shown for `permutation` itself stands in tests/order/test_shuffle.py. Here is what is new:
the order in blocks, and the orders that seeds and epochs give.
"""

from __future__ import annotations

import math
import tracemalloc
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloader.samples.order import CHUNK, Order

ALL = Order(True)


def order_of(order: Order, length: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return np.asarray(order.indices(0, length, length, seed, epoch))


def blocks_of(block_length: int) -> Order:
    return Order("blocks", block_length)


def surprise(counts: np.ndarray, expected: np.ndarray | float) -> float:
    """Chi-square in standard deviations from its mean: beyond 6 is never chance."""
    freedom = counts.size - 1
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    return (chi_square - freedom) / math.sqrt(2 * freedom)


# It is a permutation


def test_every_length_to_300_is_permuted_exactly() -> None:
    for length in range(301):
        assert sorted(order_of(ALL, length, seed=length)) == list(range(length)), length


def test_every_length_to_300_is_permuted_exactly_in_blocks() -> None:
    for length in range(301):
        for block_length in (1, 2, 3, 7, 8, 16, 50, 119, 299, 300, 500):
            order = order_of(blocks_of(block_length), length, seed=length)
            assert sorted(order) == list(range(length)), (length, block_length)


@given(
    length=st.integers(1, 3000),
    block_length=st.integers(3, 4000),
    seed=st.integers(0, 2**64),
    epoch=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_any_length_is_permuted_exactly_in_blocks(
    length: int, block_length: int, seed: int, epoch: int
) -> None:
    met = np.bincount(order_of(blocks_of(block_length), length, seed, epoch), minlength=length)

    assert met.tolist() == [1] * length


@given(data=st.data(), block_length=st.one_of(st.none(), st.integers(1, 700)))
@settings(deadline=None)
def test_any_part_of_the_order_is_that_of_the_whole(
    data: st.DataObject, block_length: int | None
) -> None:
    length = data.draw(st.integers(1, 4 * CHUNK if block_length is None else 1000))
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    order = ALL if block_length is None else blocks_of(block_length)

    part = order.indices(start, stop, length, 5, 6)

    assert part.dtype == np.int64
    assert part.tolist() == order_of(order, length, 5, 6)[start:stop].tolist()


def test_without_shuffle_samples_come_as_they_are() -> None:
    assert Order().indices(3, 8, 10, 0, 0) == range(3, 8)


# It never changes: a saved run would go on in another order.


@pytest.mark.parametrize(
    ("order", "start", "length", "expected"),
    [
        (ALL, 0, 100, [31, 44, 95, 93, 10, 8, 90, 78]),
        (ALL, 10**8, 10**9, [607016192, 473624852, 85008067, 726239702]),
        (blocks_of(8), 0, 100, [71, 64, 67, 68, 66, 70, 69, 65]),
        (blocks_of(1000), 10**8, 10**9, [752852953, 752852987, 752852635, 752852972]),
    ],
)
def test_order_never_changes(order: Order, start: int, length: int, expected: list[int]) -> None:
    stop = start + len(expected)
    assert order.indices(start, stop, length, seed=42, epoch=3).tolist() == expected


# It cannot be told from chance


@pytest.mark.parametrize("order", [ALL, blocks_of(4), blocks_of(1)], ids=["all", "one", "ones"])
def test_all_orders_of_4_come_equally_often_over_seeds_and_epochs(order: Order) -> None:
    met = dict.fromkeys(permutations(range(4)), 0)

    for seed in range(60):
        for epoch in range(200):
            met[tuple(order_of(order, 4, seed, epoch).tolist())] += 1

    assert surprise(np.array([*met.values()]), 500) < 6


def test_all_orders_in_blocks_of_5_come_equally_often() -> None:
    met: dict[Any, int] = {}

    for seed in range(8000):
        order = tuple(order_of(blocks_of(2), 5, seed).tolist())
        met[order] = met.get(order, 0) + 1

    # Three runs in any order, and each of the two whole ones either way round.
    assert len(met) == math.factorial(3) * 2 * 2
    assert surprise(np.array([*met.values()]), 8000 / 24) < 6


@pytest.mark.parametrize("order", [ALL, blocks_of(7)], ids=["all", "blocks"])
def test_every_sample_comes_to_every_position_equally_often(order: Order) -> None:
    length, seeds = 25, 5000
    counts = np.zeros((length, length))

    for seed in range(seeds):
        np.add.at(counts, (np.arange(length), order_of(order, length, seed)), 1)

    expected = np.full((length, length), seeds / length)
    if order.block_length:
        expected = _expected_in_blocks(length, order.block_length, seeds)
    assert surprise(counts[expected > 0], expected[expected > 0]) < 6
    assert not counts[expected == 0].any()


def _expected_in_blocks(length: int, block_length: int, seeds: int) -> np.ndarray:
    """How often each sample should come to each position: from all orders of the runs."""
    runs = [
        range(start, min(start + block_length, length)) for start in range(0, length, block_length)
    ]
    expected = np.zeros((length, length))
    orders = [*permutations(range(len(runs)))]
    for order in orders:
        position = 0
        for run in (runs[number] for number in order):
            for offset in range(len(run)):
                expected[position + offset, run.start : run.stop] += seeds / len(orders) / len(run)
            position += len(run)
    return expected


@pytest.mark.parametrize("length", [1000, 3 * CHUNK])
def test_neighbours_in_the_order_are_not_correlated(length: int) -> None:
    seeds = 50
    orders = np.array([order_of(ALL, length, seed) for seed in range(seeds)]) - (length - 1) / 2

    correlations = (orders[:, 1:] * orders[:, :-1]).sum(axis=1) / (orders**2).sum(axis=1)

    # Of a random order: mean -1 / length, standard deviation 1 / sqrt(length).
    assert abs(correlations.mean() + 1 / length) < 5 / math.sqrt(length * seeds)
    assert np.abs(correlations).max() < 5 / math.sqrt(length)


def test_neighbours_are_not_correlated_between_runs_nor_within_them() -> None:
    length, block_length, seeds = 4096, 64, 50
    orders = np.array([order_of(blocks_of(block_length), length, seed) for seed in range(seeds)])
    runs = orders.reshape(seeds, -1, block_length) // block_length
    within = orders.reshape(seeds, -1, block_length) % block_length - (block_length - 1) / 2

    firsts = runs[:, :, 0] - (length / block_length - 1) / 2
    between = (firsts[:, 1:] * firsts[:, :-1]).sum() / (firsts**2).sum()
    inside = (within[:, :, 1:] * within[:, :, :-1]).sum() / (within**2).sum()

    assert (runs == runs[:, :, :1]).all()
    assert abs(between + block_length / length) < 5 / math.sqrt(seeds * length / block_length)
    assert abs(inside + 1 / block_length) < 5 / math.sqrt(seeds * length)


def test_orders_of_neighbouring_epochs_and_seeds_have_nothing_in_common() -> None:
    for order in (ALL, blocks_of(16)):
        orders = [order_of(order, 1000, seed, epoch) for seed in range(8) for epoch in range(8)]
        same = [
            int((one == other).sum()) for k, one in enumerate(orders) for other in orders[k + 1 :]
        ]
        assert max(same) < (12 if order is ALL else 120)


def test_runs_of_one_epoch_are_each_permuted_in_their_own_way() -> None:
    runs = order_of(blocks_of(50), 50 * 40).reshape(40, 50) % 50

    assert len({tuple(run) for run in runs.tolist()}) == 40


# It costs nothing


@pytest.mark.parametrize("order", [ALL, blocks_of(10**6)], ids=["all", "blocks"])
def test_a_billion_samples_take_no_memory_and_batches_are_read_anywhere(order: Order) -> None:
    length = 10**9 + 7
    order.indices(0, 32, length, 1, 0)
    tracemalloc.start()

    batches = [order.indices(start, start + 32, length, 2, 3) for start in (0, 10**8, length - 32)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len({*np.concatenate(batches).tolist()}) == 96
    assert peak < 2**20


def test_a_batch_touches_few_runs() -> None:
    order = blocks_of(100)

    touched = [
        len({*(order.indices(start, start + 50, 10_000, 7, 7) // 100).tolist()})
        for start in range(0, 10_000, 50)
    ]

    assert max(touched) <= 2


# Arguments


@pytest.mark.parametrize("shuffle", ["block", "", None, 1, 0, 1.0, [], np.ones(2)])
def test_what_is_no_kind_of_shuffle_is_refused(shuffle: Any) -> None:
    with pytest.raises(ValueError, match=r'shuffle must be False, True or "blocks", not'):
        Order(shuffle)


@pytest.mark.parametrize("shuffle", [False, True])
def test_block_length_without_blocks_is_refused(shuffle: bool) -> None:
    with pytest.raises(ValueError, match=r'block_length=8 means something with shuffle="blocks"'):
        Order(shuffle, 8)


def test_blocks_without_block_length_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a block_length: how many samples are read"):
        Order("blocks")


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (True, TypeError), (2.5, TypeError)])
def test_block_length_must_be_a_count(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="block_length must be"):
        Order("blocks", value)


def test_what_is_too_long_to_shuffle_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 2\*\*62"):
        ALL.indices(0, 1, 2**62 + 1, 0, 0)
