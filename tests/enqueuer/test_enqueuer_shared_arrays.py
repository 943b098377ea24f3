"""Sequences that hold shared arrays, as whoever iterates sees them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from shared_sequences import (
    Counting,
    Deadly,
    Dropped,
    MadeInWorker,
    Refilled,
    Replaced,
    ReplacedWithProcess,
    Rows,
    Scribbling,
    WithProcess,
)

from seqloader import share
from seqloader.errors import WorkerLostWarning

WIDE = 10_000
"""Elements of a row: more than travel inside a pickle."""
WITHOUT = pytest.mark.parametrize("without", ["", "procfd", "memfd", "memfd,procfd,pidfd,sigio"])
START_METHODS = pytest.mark.parametrize("start_method", ["spawn", "fork"])


def table(length=6):
    """Row i is full of i."""
    return share(np.repeat(np.arange(length), WIDE).reshape(length, WIDE))


def values(batches):
    return [value(batch) for batch in batches]  # each before the next is asked for


def value(batch):
    assert (batch == batch[0]).all()
    return int(batch[0])


def holders(pids):
    """Those of the processes that have shared arrays open or mapped."""
    found = set()
    for pid in pids:
        names = [Path(f"/proc/{pid}/maps").read_text()]
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # the listing's own
                names.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        if any("seqloader-shared" in name for name in names):
            found.add(pid)
    return found


# --- on every executor ---------------------------------------------------------------------


def test_batches_are_computed_from_a_shared_array(make):
    enqueuer = make(Rows(table()))

    assert [values(enqueuer) for _ in range(2)] == [list(range(6))] * 2


def test_what_a_hook_writes_is_seen_in_the_next_epoch(make):
    enqueuer = make(Refilled(table()))

    for epoch in range(3):
        assert values(enqueuer) == [index + epoch for index in range(6)]


def test_an_array_made_by_a_hook_is_seen_in_the_next_epoch(make):
    enqueuer = make(Replaced(table()))

    for epoch in range(4):
        assert values(enqueuer) == [index + epoch for index in range(6)]


def test_what_is_written_between_epochs_needs_no_refresh(make):
    sequence = Rows(table())
    enqueuer = make(sequence)
    assert values(enqueuer) == list(range(6))

    sequence.array[:] = 7

    assert values(enqueuer) == [7] * 6


def test_an_array_made_in_getitem_is_delivered_like_any_other(make):
    delivered = list(make(MadeInWorker(table())))

    assert values([batch["shared"] for batch in delivered]) == list(range(6))
    assert values([batch["row"] for batch in delivered]) == list(range(6))


# --- on worker processes -------------------------------------------------------------------


@START_METHODS
def test_what_a_worker_process_writes_stays_its_own(make_any, start_method):
    sequence = Scribbling(table())
    before = sequence.array.copy()
    enqueuer = make_any(sequence, workers=1, start_method=start_method)

    assert values(enqueuer) == list(range(6))

    assert (sequence.array == before).all()


@pytest.mark.parametrize("executor", ["thread", "inline"])
def test_what_a_thread_writes_is_written(make_any, executor):
    sequence = Scribbling(table())

    assert values(make_any(sequence, executor=executor)) == list(range(6))

    assert (sequence.array == -1).all()


@START_METHODS
def test_forked_and_fresh_workers_see_what_is_written_between_epochs(make_any, start_method):
    sequence = Rows(table())
    enqueuer = make_any(sequence, start_method=start_method)
    assert values(enqueuer) == list(range(6))

    sequence.array[:] = 7

    assert values(enqueuer) == [7] * 6


def test_a_batch_of_a_shared_array_is_the_consumers_own(make_any):
    sequence = Rows(table())
    batches = list(make_any(sequence))

    batches[0][:] = 99
    sequence.array[1:] = 55

    assert (sequence.array[0] == 0).all()
    assert values(batches[1:]) == [1, 2, 3, 4, 5]


@WITHOUT
def test_an_array_made_later_reaches_running_workers(make_any, without, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", without)
    enqueuer = make_any(ReplacedWithProcess(table()))
    pids = []

    for epoch in range(3):
        rows, computed_by = zip(*enqueuer, strict=True)
        assert values(rows) == [index + epoch for index in range(6)]
        pids.append(set(computed_by))

    if "procfd" in without:  # then other workers are started, which inherit it
        assert not pids[0] & pids[2]
    else:
        assert len(set.union(*pids)) <= 2


def test_changes_beside_the_array_keep_the_workers_without_procfd(make_any, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", "procfd")
    sequence = WithProcess(table())
    enqueuer = make_any(sequence)
    pids = set()

    for note in range(3):
        sequence.note = note
        rows, computed_by = zip(*enqueuer, strict=True)
        assert values(rows) == list(range(6))
        pids |= set(computed_by)

    assert len(pids) <= 2


def test_enqueuers_share_one_array(make_any):
    array = table()
    training, validation = make_any(Refilled(array)), make_any(Rows(array[::2]))

    both = [(value(left), value(right)) for left, right in zip(validation, training, strict=False)]

    assert both == [(0, 0), (2, 1), (4, 2)]
    assert values(training) == [1, 2, 3, 4, 5, 6]  # the epoch that was left early has ended
    assert values(validation) == [2, 4, 6]


@WITHOUT
def test_a_new_worker_has_the_arrays_of_the_dead_one(make_any, without, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", without)
    enqueuer = make_any(Deadly(table(), tmp_path, victim=3))

    with pytest.warns(WorkerLostWarning):
        delivered = [values(enqueuer) for _ in range(3)]

    assert delivered == [[index + epoch for index in range(6)] for epoch in range(3)]
    assert enqueuer.stats().respawns == 3


def test_workers_let_go_of_an_array_that_the_sequence_has_no_more(make_any, children, until):
    enqueuer = make_any(Dropped(table()))
    assert values(enqueuer) == list(range(6))
    pids = [child.pid for child in children()]
    assert holders(pids) == set(pids)

    # A worker sees it with its next ticket, and the consumer when a worker said that it let go.
    until(lambda: values(enqueuer) and not holders([os.getpid(), *pids]))


def test_workers_do_not_keep_arrays_of_other_sequences(make_any, children, until):
    others = table()
    enqueuer = make_any(Rows(np.zeros((3, WIDE))))
    list(enqueuer)
    pids = [child.pid for child in children()]

    assert len(pids) == 2
    until(lambda: not holders(pids))  # one may be starting still
    assert holders([os.getpid()])
    assert others.any()


def test_when_a_hook_makes_another_array_the_one_before_the_last_is_gone(make_any):
    sequence = Counting(table())
    enqueuer = make_any(sequence, workers=1)

    for _ in range(4):
        list(enqueuer)

    assert sequence.counts == [1, 1, 1, 1]


def nothing(slot):
    """A `worker_init`: it might have dropped what opening the consumer's files needs."""


def test_after_a_worker_init_other_workers_inherit_what_was_made_since(make_any):
    with make_any(ReplacedWithProcess(table()), workers=1, worker_init=nothing) as enqueuer:
        epochs = [[(value(rows), pid) for rows, pid in enqueuer] for _ in range(2)]

    first, second = ({pid for _, pid in batches} for batches in epochs)
    assert [row for row, _ in epochs[1]] == [row + 1 for row, _ in epochs[0]]
    assert first.isdisjoint(second)
