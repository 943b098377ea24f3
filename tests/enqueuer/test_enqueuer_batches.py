"""Batches of any kind and shape come through worker processes as they were made."""

from __future__ import annotations

import random

import numpy as np
import pytest
from batches_for_tests import (
    all_batches,
    arrays,
    one_batch,
    one_torch_batch,
    torch_batches,
)
from sameness import assert_same
from sequences_for_tests import Once

from seqloader import OrderedEnqueuer

EXPECTED = all_batches()


def delivered(call, names, workers=2, **options):
    with OrderedEnqueuer(Once(call, length=len(names)), workers=workers, **options) as enqueuer:
        return dict(zip(names, enqueuer, strict=True))


@pytest.fixture(scope="module", params=["spawn", "fork", "copy"])
def batches(request):
    options = {"copy": True} if request.param == "copy" else {"start_method": request.param}
    return delivered(one_batch, list(EXPECTED), **options)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_batch_comes_through_as_it_was_made(batches, name):
    assert_same(batches[name], EXPECTED[name])


@pytest.mark.parametrize("name", arrays())
def test_an_array_can_be_written_to(batches, name):
    assert batches[name].flags.writeable


def test_kinds_may_change_from_batch_to_batch(make):
    order = random.Random(3).choices(range(len(EXPECTED)), k=300)
    enqueuer = make(Once(lambda position: one_batch(order[position]), length=300))

    names = list(EXPECTED)
    for position, batch in enumerate(enqueuer):
        assert_same(batch, EXPECTED[names[order[position]]])


def test_one_array_twice_in_a_batch_has_the_same_values_twice(make):
    def twice(index):
        array = np.full(4, index)
        return {"a": array, "b": (array, array[1:])}

    for index, batch in enumerate(make(Once(twice, length=5))):
        assert [part.tolist() for part in (batch["a"], *batch["b"])] == [
            [index] * 4,
            [index] * 4,
            [index] * 3,
        ]


def test_a_batch_of_a_class_of_the_moment(make):
    class Local:
        def __init__(self, array):
            self.array = array

    enqueuer = make(Once(lambda index: Local(np.full(2, index)), length=3))

    batches = list(enqueuer)

    assert [batch.array.tolist() for batch in batches] == [[0, 0], [1, 1], [2, 2]]
    assert all(type(batch) is Local for batch in batches)


@pytest.mark.torch
@pytest.mark.limit(180)
@pytest.mark.parametrize("copy", [False, True])
def test_tensors_come_through_as_they_were_made(copy):
    torch = pytest.importorskip("torch")
    expected = torch_batches()
    found = delivered(one_torch_batch, list(expected), workers=1, copy=copy)

    def compare(one, other):
        assert type(one) is type(other)
        if isinstance(other, torch.Tensor):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert one.requires_grad == other.requires_grad
            assert torch.equal(one, other)
        elif isinstance(other, dict):
            for key in other:
                compare(one[key], other[key])
        elif isinstance(other, (list, tuple)):
            for parts in zip(one, other, strict=True):
                compare(*parts)
        else:
            assert np.array_equal(one, other)

    for name in expected:
        compare(found[name], expected[name])
