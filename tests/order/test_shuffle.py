from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.order import SHUFFLE_VERSION, shuffle
from seqloader.order.shuffle import CHUNK, DRAWN_WHOLE, LONGEST, permutation

KEYS = st.integers(0, 2**64 - 1)
LENGTHS = st.one_of(
    st.integers(1, 600),
    st.integers(1, LONGEST),
    st.builds(
        lambda root, offset: max(1, min(root * root + offset, LONGEST)),
        st.integers(16, 2**31),
        st.integers(-2, 2),
    ),
)


def order_of(length: int, key: int) -> np.ndarray:
    positions = np.arange(length, dtype=np.uint64)
    return permutation(length, key).many(positions).astype(np.int64)


def orders_of(length: int, keys: int) -> np.ndarray:
    """One row for each key."""
    return np.array([order_of(length, key) for key in range(keys)])


def surprise(counts: np.ndarray, expected: np.ndarray | float) -> float:
    """Chi-square in standard deviations from its mean: beyond 6 is never chance."""
    freedom = counts.size - 1
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    return (chi_square - freedom) / math.sqrt(2 * freedom)


def table(rows: np.ndarray, columns: np.ndarray, length: int, bins: int) -> tuple[np.ndarray, ...]:
    """Counts of pairs of numbers below `length`, in `bins` x `bins` cells; and the cells' sizes."""
    counts = np.zeros((bins, bins))
    np.add.at(counts, (rows.ravel() * bins // length, columns.ravel() * bins // length), 1)
    return counts, np.bincount(np.arange(length) * bins // length, minlength=bins)


# It is a permutation


def test_every_length_to_600_is_permuted_exactly() -> None:
    for length in range(601):
        assert sorted(order_of(length, key=length)) == list(range(length)), length


@pytest.mark.parametrize("length", [10_000, 65_536, 65_537, 99_856, 99_857, 1_000_003])
def test_large_length_is_permuted_exactly(length: int) -> None:
    met = np.bincount(order_of(length, key=5), minlength=length)

    assert met.tolist() == [1] * length


@given(length=LENGTHS, key=KEYS, data=st.data())
def test_one_and_many_agree_and_stay_inside(length: int, key: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=50))
    order = permutation(length, key)

    many = order.many(np.array(positions, dtype=np.uint64)).tolist()

    assert many == [order.one(position) for position in positions]
    assert all(0 <= index < length for index in many)
    assert len(set(many)) == len(set(positions))


def test_one_and_many_agree_across_chunks() -> None:
    order = permutation(10**9, 3)

    many = order.many(np.arange(CHUNK + 2, dtype=np.uint64)).tolist()

    for position in (0, CHUNK - 1, CHUNK, CHUNK + 1):
        assert many[position] == order.one(position)


@pytest.mark.parametrize("length", [-1, LONGEST + 1])
def test_length_out_of_range_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="length must be 0"):
        permutation(length, 0)


# It never changes. Whoever has to change these raises SHUFFLE_VERSION.


@pytest.mark.parametrize(
    ("length", "key", "expected"),
    [
        (10, 0, [9, 8, 7, 5, 3, 4, 6, 2, 0, 1]),
        (10, 1, [3, 8, 5, 7, 6, 0, 1, 2, 4, 9]),
        (256, 42, [216, 48, 129, 109, 89, 50]),
        (257, 42, [14, 219, 35, 57, 140, 239]),
        (1_000_000, 2**64 - 1, [941209, 246213, 740821, 696380, 17710, 651807]),
        (10**9, 42, [404512497, 438835110, 611885024, 582265235, 322133949, 26941258]),
        (
            2**62,
            42,
            [
                1935178619264708157,
                4471224617088318471,
                837816103796901901,
                2078082264177914301,
                2245718013043585427,
                2434777181077714826,
            ],
        ),
    ],
)
def test_version_1_never_changes(length: int, key: int, expected: list[int]) -> None:
    order = permutation(length, key)

    assert SHUFFLE_VERSION == 1
    assert [order.one(position) for position in range(len(expected))] == expected


def test_numpys_own_seed_has_no_part_in_it() -> None:
    before = order_of(1000, 1).tolist()
    shuffle.permutation.cache_clear()

    np.random.seed(0)

    assert order_of(1000, 1).tolist() == before


# It cannot be told from chance


def test_all_24_orders_of_4_come_equally_often() -> None:
    met = dict.fromkeys(permutations(range(4)), 0)

    for key in range(24_000):
        met[tuple(permutation(4, key).one(position) for position in range(4))] += 1

    assert len(met) == 24
    assert surprise(np.array(list(met.values())), 1000) < 6


@pytest.mark.parametrize("length", [5, 52, 257])
def test_every_index_comes_to_every_position_equally_often(length: int) -> None:
    keys = 4000 if length < 100 else 2000
    bins = min(length, 52)
    orders = orders_of(length, keys)
    positions = np.broadcast_to(np.arange(length), orders.shape)

    counts, sizes = table(positions, orders, length, bins)

    assert surprise(counts, keys * np.outer(sizes, sizes) / length) < 6


def test_every_index_comes_to_every_position_of_1000_equally_often() -> None:
    orders = orders_of(1000, 1000)
    positions = np.broadcast_to(np.arange(1000), orders.shape)

    counts, _ = table(positions, orders, 1000, 100)

    assert surprise(counts, 100) < 6


def steps_surprise(length: int, keys: int) -> float:
    """Of the distances between neighbours in the order: where a weak network shows first."""
    steps = np.diff(orders_of(length, keys), axis=1) % length
    counts = np.bincount(steps.ravel(), minlength=length)[1:]
    return surprise(counts, counts.sum() / (length - 1))


@pytest.mark.parametrize("length", [52, 257, 400, 1000])
def test_every_distance_between_neighbours_comes_equally_often(length: int) -> None:
    assert steps_surprise(length, 2000) < 6


def test_half_the_rounds_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffle.permutation.cache_clear()
    monkeypatch.setattr(shuffle, "ROUNDS", shuffle.ROUNDS // 2)

    found = steps_surprise(257, 2000)

    shuffle.permutation.cache_clear()
    assert found > 6


@pytest.mark.parametrize("length", [257, 1000])
def test_first_two_indices_are_independent(length: int) -> None:
    keys = 4000
    orders = orders_of(length, keys)

    counts, sizes = table(orders[:, 0], orders[:, 1], length, 10)

    pairs = np.outer(sizes, sizes) - np.diag(sizes)  # the two are never the same
    assert surprise(counts, keys * pairs / pairs.sum()) < 6


@pytest.mark.parametrize("length", [257, 1000, 100_000])
def test_neighbours_are_not_correlated(length: int) -> None:
    keys = 200 if length < 10_000 else 4
    orders = orders_of(length, keys) - (length - 1) / 2

    correlations = (orders[:, 1:] * orders[:, :-1]).sum(axis=1) / (orders**2).sum(axis=1)

    # Of a random order: mean -1 / length, standard deviation 1 / sqrt(length).
    assert abs(correlations.mean() + 1 / length) < 5 / math.sqrt(length * keys)
    assert np.abs(correlations).max() < 5 / math.sqrt(length)


@pytest.mark.parametrize("length", [100, 257, 1000])
def test_orders_have_one_fixed_point_on_average(length: int) -> None:
    keys = 2000
    fixed = (orders_of(length, keys) == np.arange(length)).sum(axis=1)

    assert abs(fixed.mean() - 1) < 5 / math.sqrt(keys)
    assert abs(fixed.var() - 1) < 5 * math.sqrt(3 / keys)


@pytest.mark.parametrize("length", [256, 257, 1000])
def test_orders_of_neighbouring_keys_and_lengths_have_nothing_in_common(length: int) -> None:
    orders = [order_of(length, key) for key in range(50)]
    longer = [order_of(length + 1, key)[:length] for key in range(50)]

    same = [
        int((first == second).sum())
        for first, second in [*pairwise(orders), *zip(orders, longer, strict=True)]
    ]

    assert max(same) < 10  # of chance: 1 on average, and 10 once in ten million


def test_consecutive_positions_of_a_billion_are_spread_evenly() -> None:
    indices = permutation(10**9, 1).many(np.arange(100_000, dtype=np.uint64)).astype(np.int64)

    coarse = np.bincount(indices * 100 // 10**9, minlength=100)
    fine = np.bincount(indices % 64, minlength=64)

    assert surprise(coarse, 1000) < 6
    assert surprise(fine, 100_000 / 64) < 6


# It costs no memory


def test_only_a_bounded_number_of_permutations_is_kept() -> None:
    for key in range(100):
        permutation(DRAWN_WHOLE, key)

    assert shuffle.permutation.cache_info().currsize <= 16
