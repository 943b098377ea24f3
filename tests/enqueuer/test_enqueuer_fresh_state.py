"""Workers compute an epoch with the Sequence as it stands when that epoch begins (P4)."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sequences_for_tests import (
    Numbers,
    Recorded,
    Scaled,
    Stateful,
    Travelling,
    TravellingWithHook,
)

PROCESSES = pytest.mark.parametrize("start_method", ["spawn", "fork"])


def test_what_hooks_change_is_seen_by_every_worker(make):
    enqueuer = make(Stateful(length=30))

    for epoch in range(4):
        assert set(enqueuer) == {(1 + epoch, 1 + epoch, float(epoch), "a" + "b" * epoch, 1 + epoch)}


def test_what_hooks_change_is_seen_by_every_forked_worker(make_any):
    enqueuer = make_any(Stateful(length=30), start_method="fork")

    for epoch in range(4):
        assert set(enqueuer) == {(1 + epoch, 1 + epoch, float(epoch), "a" + "b" * epoch, 1 + epoch)}


def test_what_is_rebound_between_epochs_is_seen_without_refresh(make):
    sequence = Scaled()
    enqueuer = make(sequence)
    assert set(enqueuer) == {(1, 0, 0.0, "a", 0)}

    sequence.scale = 7
    sequence.table = np.full(12, 3)
    sequence.names = ["z"] * 12
    sequence.large = np.full(50_000, 2.0)

    assert set(enqueuer) == {(7, 3, 2.0, "z", 0)}
    assert set(enqueuer) == {(7, 3, 2.0, "z", 0)}


def test_what_is_rebound_is_seen_by_forked_workers_too(make_any):
    sequence = Scaled()
    enqueuer = make_any(sequence, start_method="fork")
    assert set(enqueuer) == {(1, 0, 0.0, "a", 0)}

    sequence.scale = 7
    sequence.table = np.full(12, 3)

    assert set(enqueuer) == {(7, 3, 0.0, "a", 0)}


def test_an_attribute_that_is_removed_or_added_between_epochs_is(make):
    sequence = Numbers(length=3)
    enqueuer = make(sequence)
    list(enqueuer)

    del sequence.value
    with pytest.raises(AttributeError, match="value"):
        list(enqueuer)
    sequence.value = 4

    assert [int(batch[0, 0]) for batch in enqueuer] == [0, 4, 8]


def change_in_place(sequence):
    sequence.table[:] = 5
    sequence.large[-1] = 9
    sequence.names[:] = ["c"] * 12
    sequence.nested["deep"][1]["value"] = 6


@PROCESSES
def test_what_is_changed_in_place_is_seen_after_refresh_and_not_before(make_any, start_method):
    sequence = Scaled()
    enqueuer = make_any(sequence, start_method=start_method)
    list(enqueuer)

    change_in_place(sequence)
    assert set(enqueuer) == {(1, 0, 0.0, "a", 0)}
    enqueuer.refresh()
    assert set(enqueuer) == {(1, 5, 9.0, "c", 6)}

    sequence.table[:] = 8  # once more without a word: refresh was for one epoch
    assert set(enqueuer) == {(1, 5, 9.0, "c", 6)}


def test_refresh_makes_changes_in_place_visible_whatever_the_executor(make):
    sequence = Scaled()
    enqueuer = make(sequence)
    list(enqueuer)

    change_in_place(sequence)
    enqueuer.refresh()

    assert set(enqueuer) == {(1, 5, 9.0, "c", 6)}


@PROCESSES
def test_refresh_during_an_epoch_marks_the_next(make_any, start_method, take):
    sequence = Scaled()
    enqueuer = make_any(sequence, start_method=start_method, max_queue_size=3)
    iterator = iter(enqueuer)
    seen = set(take(iterator, 2))

    change_in_place(sequence)
    enqueuer.refresh()
    seen |= set(iterator)

    assert seen == {(1, 0, 0.0, "a", 0)}
    assert set(enqueuer) == {(1, 5, 9.0, "c", 6)}


def test_refresh_before_start_and_without_a_change_harms_nothing(make):
    enqueuer = make(Scaled())

    for _ in range(3):
        enqueuer.refresh()
        assert set(enqueuer) == {(1, 0, 0.0, "a", 0)}


def test_what_is_changed_during_an_epoch_waits_for_the_next(make_any, take):
    sequence = Scaled()
    enqueuer = make_any(sequence, max_queue_size=2)
    iterator = iter(enqueuer)
    take(iterator, 1)

    sequence.scale = 3

    assert {batch[0] for batch in iterator} == {1}
    assert {batch[0] for batch in enqueuer} == {3}


def test_what_getitem_changes_in_a_worker_never_reaches_the_consumer(make_any):
    class Changing(Numbers):
        def __getitem__(self, index):
            self.value += 1
            return self.value

    sequence = Changing(length=10)

    assert len(list(make_any(sequence))) == 10
    assert sequence.value == 1


def test_a_start_after_stop_sends_the_sequence_as_it_is_then(make):
    sequence = Scaled()
    enqueuer = make(sequence)
    list(enqueuer)
    enqueuer.stop()

    change_in_place(sequence)

    assert set(enqueuer) == {(1, 5, 9.0, "c", 6)}


def test_another_object_may_take_the_sequences_place(make):
    enqueuer = make(Scaled())
    list(enqueuer)

    enqueuer.sequence = Numbers(length=3)

    assert [int(batch[0, 0]) for batch in enqueuer] == [0, 1, 2]


# --- What it costs ----------------------------------------------------------------------


@pytest.mark.fixed_size
def test_workers_are_the_same_processes_over_epochs(make_any, tmp_path, children):
    enqueuer = make_any(Recorded(tmp_path, length=30))
    enqueuer.start()
    workers = {child.pid for child in children()}

    pids = [{pid for _, _, pid in enqueuer} for _ in range(5)]

    assert set.union(*pids) <= workers
    assert os.getpid() not in workers and len(workers) == 2
    assert {child.pid for child in children()} == workers


@pytest.mark.parametrize("kind", [Travelling, TravellingWithHook])
def test_what_did_not_change_is_not_sent_again(make_any, tmp_path, kind):
    sequence = kind(tmp_path)
    enqueuer = make_any(sequence)
    list(enqueuer)
    first = sequence.traveller.journal.lines()

    for epoch in range(1, 4):
        assert {batch[1] for batch in enqueuer} == {0}, epoch

    assert len(set(first)) == len(first) <= 2
    later = sequence.traveller.journal.lines()
    assert len(set(later)) == len(later) <= 2  # a worker that started late may add its own


@pytest.mark.parametrize("kind", [Travelling, TravellingWithHook])
def test_what_changed_travels_once_to_each_worker(make_any, tmp_path, kind):
    sequence = kind(tmp_path)
    enqueuer = make_any(sequence)
    list(enqueuer)
    list(enqueuer)

    sequence.traveller.value = 4
    enqueuer.refresh()
    for _ in range(3):
        assert {batch[2] for batch in enqueuer} == {4}

    lines = sequence.traveller.journal.lines()
    assert all(lines.count(line) <= 2 for line in lines)
