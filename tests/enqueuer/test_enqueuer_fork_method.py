"""start_method="fork": for what cannot be pickled."""

from __future__ import annotations

import os
import threading

import pytest
from sequences_for_tests import Once

from seqloader import Sequence


class Unpicklable(Sequence):
    """Holds a lock, a lambda and an open file, and changes in its hooks."""

    def __init__(self, path, length=8):
        path.write_text("text")
        self.lock = threading.Lock()
        self.scale = lambda index: self.factor * index
        self.file = path.open()
        self.factor = 1
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        with self.lock:
            return self.scale(index), os.pread(self.file.fileno(), 9, 0), os.getpid()

    def on_epoch_begin(self):
        self.factor += 1

    def on_epoch_end(self):
        self.length += 1


@pytest.fixture
def unpicklable(tmp_path):
    sequence = Unpicklable(tmp_path / "file")
    yield sequence
    sequence.file.close()


def test_an_unpicklable_sequence_works_over_epochs_with_hooks(make_any, unpicklable):
    enqueuer = make_any(unpicklable, start_method="fork")

    for epoch in range(3):
        batches = list(enqueuer)
        assert [(scaled, text) for scaled, text, _ in batches] == [
            ((2 + epoch) * index, b"text") for index in range(8 + epoch)
        ]
        assert os.getpid() not in {pid for *_, pid in batches}


def test_get_goes_over_epochs_of_an_unpicklable_sequence(make_any, unpicklable, take):
    enqueuer = make_any(unpicklable, start_method="fork")

    scaled = [batch[0] for batch in take(enqueuer.get(), 8 + 9 + 2)]

    assert scaled == [2 * i for i in range(8)] + [3 * i for i in range(9)] + [0, 4]


def test_threads_need_no_pickle_either(make_any, unpicklable):
    enqueuer = make_any(unpicklable, executor="thread")

    assert [scaled for scaled, *_ in enqueuer] == [2 * index for index in range(8)]


def test_a_lock_that_the_consumer_holds_is_no_matter_when_spawned(make_any):
    lock = threading.Lock()

    def batch_of(index):
        import logging

        logging.getLogger("any").debug("takes a lock of the logging module")
        return index

    with lock:
        assert list(make_any(Once(batch_of, length=4))) == [0, 1, 2, 3]


def test_forked_workers_that_change_nothing_stay_over_epochs(make_any, children):
    enqueuer = make_any(Once(lambda index: os.getpid(), length=20), start_method="fork")

    first, second = set(enqueuer), set(enqueuer)

    assert first | second <= {child.pid for child in children()}
    assert len(children()) == 2
