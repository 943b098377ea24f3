"""Whose memory a batch is (P8)."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from sequences_for_tests import Numbers, Once, Owner


def totals(batches):
    return [int(batch.sum()) for batch in batches]


def test_a_batch_is_writable_and_belongs_to_the_consumer(make_any):
    sequence = Owner()
    expected = totals(sequence)
    enqueuer = make_any(sequence)

    for batch in enqueuer:
        assert batch.flags.writeable
        batch[:] = -1
    again = list(enqueuer)

    assert totals(again) == expected == totals(sequence)


@pytest.mark.parametrize("kind", ["inline", "thread"])
def test_inline_and_thread_hand_over_the_object_that_getitem_returned(make_any, kind):
    sequence = Owner()
    enqueuer = make_any(sequence, executor=kind)

    for index, batch in enumerate(enqueuer):
        assert np.shares_memory(batch, sequence.table[index])
        batch[0] = -index

    assert sequence.table[:, 0].tolist() == [0, -1, -2, -3]


def test_copy_gives_private_memory_on_every_executor(make, executor):
    sequence = Owner()
    expected = sequence.table.copy()
    enqueuer = make(sequence, copy=True)

    batches = list(enqueuer)
    for batch in batches:
        assert batch.flags.writeable
        assert batch.flags.owndata or executor == "ray"  # there it is used again
        batch[:] = -1

    assert np.array_equal(sequence.table, expected)
    assert enqueuer.stats().held_bytes == 0 or executor == "ray"
    assert totals(enqueuer) == expected.sum(axis=1).tolist()


def test_copy_reaches_all_parts_of_a_nest(make):
    class Nested(Owner):
        def __getitem__(self, index):
            row = self.table[index]
            return {"a": [row, (row[1:], row)], "b": row.reshape(10, -1)}

    sequence = Nested()
    expected = sequence.table.copy()

    for batch in make(sequence, copy=True):
        one, (other, third) = batch["a"]
        for part in (one, other, third, batch["b"]):
            part[:] = -1

    assert np.array_equal(sequence.table, expected)


def test_batches_that_are_kept_stay_as_they_were_and_block_nothing(make, take):
    enqueuer = make(Owner(length=50), max_queue_size=2)
    expected = totals(enqueuer.sequence)

    kept = take(enqueuer.get(), 150)
    enqueuer.stop()

    assert totals(kept) == expected * 3


@pytest.mark.parametrize("part", ["slice", "reshaped", "memoryview", "frombuffer"])
def test_memory_lives_as_long_as_anything_refers_to_it(make_any, part):
    derive = {
        "slice": lambda array: array[::7][1:],
        "reshaped": lambda array: array.reshape(10, 100).T[3:4],
        "memoryview": lambda array: memoryview(array)[10:20],
        "frombuffer": lambda array: np.frombuffer(array, np.uint8)[80:160],
    }[part]
    sequence = Owner(length=40)
    expected = [np.array(derive(row)).tolist() for row in sequence.table]
    enqueuer = make_any(sequence, max_queue_size=2)

    kept = []
    for batch in enqueuer:
        kept.append(derive(batch))
        del batch
        gc.collect(0)
    list(enqueuer)  # would write over what is free

    assert [np.array(one).tolist() for one in kept] == expected


def test_kept_batches_outlive_stop_and_the_enqueuer(make_any, children):
    enqueuer = make_any(Owner())
    kept = list(enqueuer)

    enqueuer.stop()
    del enqueuer
    gc.collect()

    assert children() == []
    assert totals(kept) == totals(Owner())
    kept[0][:] = 1
    assert int(kept[0].sum()) == 1000


def test_held_bytes_are_those_that_the_consumer_refers_to(make_any):
    enqueuer = make_any(Owner(length=10, width=100_000))

    batches = list(enqueuer)
    held = enqueuer.stats().held_bytes
    del batches[5:]
    half = enqueuer.stats().held_bytes
    del batches

    assert 10 * 800_000 <= held < 1.3 * 10 * 800_000
    assert half == held // 2
    assert enqueuer.stats().held_bytes == 0


def test_arrays_of_one_batch_do_not_overlap(make_any):
    def batch_of(index):
        return {"a": np.zeros(7, np.uint8), "b": [np.zeros(5), np.zeros((2, 3), np.float32)]}

    for batch in make_any(Once(batch_of, length=3)):
        batch["a"][:] = 1
        batch["b"][0][:] = 2
        batch["b"][1][:] = 3
        assert set(batch["a"]) == {1} and set(batch["b"][0]) == {2}
        assert all(array.ctypes.data % 64 == 0 for array in (batch["a"], *batch["b"]))


def test_a_discarded_batch_costs_no_memory_in_the_end(make_any, take):
    enqueuer = make_any(Numbers(length=200))

    for _ in range(5):
        take(enqueuer, 3)

    assert enqueuer.stats().held_bytes == 0
