"""Memory of private batches: aligned, written once more only when nothing refers to it."""

from __future__ import annotations

import numpy as np
import pytest

from seqloader.executors.ray.copies import ALIGNMENT, KEPT_BATCHES, Copies

LARGE = 8 << 20


@pytest.fixture
def copies():
    return Copies()


def arrays(copies, *originals):
    return [np.frombuffer(copy, np.uint8) for copy in copies.of(originals)]


def address(array):
    return array.__array_interface__["data"][0]


def test_copies_hold_the_same_are_writable_and_aligned(copies):
    originals = [np.full(size, size % 251, np.uint8) for size in (1, 63, 64, 65, 70_000, 0)]
    for original in originals:
        original.flags.writeable = False

    found = arrays(copies, *originals)

    assert all(np.array_equal(*pair) for pair in zip(found, originals, strict=True))
    assert all(array.flags.writeable for array in found)
    assert all(address(array) % ALIGNMENT == 0 for array in found if array.size)


def test_memory_is_used_again_when_the_last_view_has_ended_and_not_before(copies):
    (first,) = arrays(copies, np.zeros(LARGE, np.uint8))
    place = address(first)
    view = first.reshape(2, -1)[1][5:].view(np.int8)[::2]
    del first

    (second,) = arrays(copies, np.ones(LARGE, np.uint8))
    assert address(second) != place
    assert not view.any()
    del view
    (third,) = arrays(copies, np.ones(LARGE, np.uint8))

    assert address(third) == place


def test_what_is_held_is_counted_until_it_ends(copies):
    assert (copies.held_batches, copies.held_bytes) == (0, 0)
    held = [arrays(copies, np.zeros(LARGE, np.uint8)) for _ in range(3)]

    assert copies.held_batches == 3
    assert copies.held_bytes >= 3 * LARGE
    held.clear()
    assert (copies.held_batches, copies.held_bytes) == (0, 0)


def test_of_many_that_end_only_a_few_are_kept(copies):
    held = [arrays(copies, np.zeros(LARGE, np.uint8)) for _ in range(4 * KEPT_BATCHES)]
    held.clear()
    arrays(copies, np.zeros(1, np.uint8))

    assert sum(map(len, copies._free.values())) <= KEPT_BATCHES + 1


def test_a_batch_outlives_its_executor_and_gives_its_memory_back(copies):
    (kept,) = arrays(copies, np.full(LARGE, 7, np.uint8))

    copies.close()

    assert (kept == 7).all()
    del kept
    assert not copies._ended.blocks
