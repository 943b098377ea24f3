from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.order import Ranges

NUMBERS = st.sets(st.integers(0, 60))
PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)))


@given(pairs=PAIRS, more=PAIRS)
def test_ranges_hold_what_their_pairs_hold(
    pairs: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    numbers = {number for pair in pairs for number in range(*pair)}
    others = {number for pair in more for number in range(*pair)}
    ranges = Ranges(pairs)

    assert [number for number in range(70) if number in ranges] == sorted(numbers)
    assert len(ranges) == len(numbers)
    assert ranges | Ranges(more) == Ranges.of(numbers | others)
    assert ranges - Ranges(more) == Ranges.of(numbers - others)
    assert ranges.within(20, 40) == Ranges.of(number for number in numbers if 20 <= number < 40)


@given(numbers=NUMBERS)
def test_ranges_are_as_few_as_can_be(numbers: set[int]) -> None:
    pairs = Ranges.of(numbers).pairs

    assert all(start < stop for start, stop in pairs)
    assert all(one[1] < other[0] for one, other in pairwise(pairs))


@given(numbers=NUMBERS, start=st.integers(0, 70))
def test_after_is_the_next_number_outside(numbers: set[int], start: int) -> None:
    outside = next(number for number in range(start, 200) if number not in numbers)

    assert Ranges.of(numbers).after(start) == outside


@given(numbers=NUMBERS)
def test_numbers_outside_are_counted_one_by_one_and_in_arrays(numbers: set[int]) -> None:
    outside = [number for number in range(200) if number not in numbers]
    ranges = Ranges.of(numbers)

    assert [ranges.nth_outside(n) for n in range(len(outside))] == outside
    assert ranges.nths_outside(np.arange(len(outside), dtype=np.uint64)).tolist() == outside


def test_a_long_range_is_not_walked_through() -> None:
    assert Ranges.of(range(10, 10**15)).pairs == ((10, 10**15),)


@pytest.mark.parametrize(
    ("positions", "error"),
    [([-1], ValueError), (range(-3, 2), ValueError), ([1.5], TypeError), (["2"], TypeError)],
)
def test_what_is_no_position_is_refused(positions: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Ranges.of(positions)  # type: ignore[arg-type]
