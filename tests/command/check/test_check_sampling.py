"""Which batches are tried."""

from __future__ import annotations

import itertools

import pytest

from seqloader.command.check.examining import spread


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64])
def test_a_short_sequence_is_tried_as_a_whole(length):
    assert sorted(spread(length, 64)) == [*range(length)]


@pytest.mark.parametrize(("length", "most"), [(1000, 10), (65, 64), (10**9, 5), (100, 1)])
def test_of_a_long_one_as_many_are_tried_as_are_wanted(length, most):
    indices = spread(length, most)

    assert len(set(indices)) == len(indices) == most
    assert all(0 <= index < length for index in indices)


def test_wherever_it_is_cut_short_it_has_spread():
    indices = spread(1000, 100)

    assert indices[:2] == [0, 999]
    for count in (5, 9, 17):
        visited = sorted(indices[:count])
        gaps = [b - a for a, b in itertools.pairwise(visited)]
        assert max(gaps) <= 2 * 1000 / (count - 2)


def test_an_endless_one_is_tried_from_its_beginning():
    assert spread(None, 4) == [0, 1, 2, 3]
