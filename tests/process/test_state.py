from __future__ import annotations

import errno
import functools
import gc
import mmap
import os
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
from published import BIG, SMALL, Loaded, load, same

from seqloader.executors.process.consumer import state
from seqloader.executors.process.consumer.state import StateFile
from seqloader.executors.process.worker.state import StateLoader


def test_the_first_publish_is_version_one(file):
    assert file.version == 0

    assert file.publish(Loaded(a=1), in_place=False)

    assert file.version == 1
    assert load(file).a == 1


def test_a_replaced_attribute_arrives(file):
    sequence = Loaded(a=1)
    file.publish(sequence, in_place=False)

    sequence.a = 2

    assert file.publish(sequence, in_place=False)
    assert file.version == 2
    assert load(file).a == 2


@pytest.mark.parametrize("in_place", [False, True])
def test_what_did_not_change_is_no_new_version(file, in_place):
    sequence = Loaded(a=np.zeros(BIG), b=list(range(5000)), c={"x": [1, 2]}, f=lambda x: x + BIG)
    file.publish(sequence, in_place=False)
    before = file.version, file.offset, file.nbytes

    assert not file.publish(sequence, in_place=in_place)

    assert (file.version, file.offset, file.nbytes) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.big.__setitem__(-1, 5.0),
        lambda s: s.small.__setitem__(0, 5.0),
        lambda s: s.paths.append(("z", 1)),
        lambda s: s.nested["deep"][0].append(1),
        lambda s: s.table.update({7: "seven"}),
        lambda s: s.members.add(-1),
    ],
)
def test_a_change_in_place_counts_only_where_asked_for(file, edit):
    sequence = Loaded(
        big=np.zeros(BIG),
        small=np.zeros(3),
        paths=[(f"p{i}", i) for i in range(2000)],
        nested={"deep": [[]]},
        table=dict.fromkeys(range(2000), "x"),
        members=set(range(2000)),
    )
    file.publish(sequence, in_place=False)

    edit(sequence)

    assert not file.publish(sequence, in_place=False)
    assert file.publish(sequence, in_place=True)
    assert same(load(file).__dict__, sequence.__dict__)


def test_another_sequence_is_a_change(file):
    file.publish(Loaded(a=1), in_place=False)

    assert file.publish(Loaded(a=2), in_place=False)
    assert load(file).a == 2


def test_an_older_version_can_be_loaded_until_it_is_reclaimed(file):
    sequence = Loaded(a=np.zeros(BIG))
    file.publish(sequence, in_place=False)
    first = file.version, file.offset
    sequence.a[:] = 1
    file.publish(sequence, in_place=True)

    old = StateLoader(file.fd).load(*first)

    assert not old.a.any()


def test_a_published_state_is_immutable_under_live_mappings(file):
    sequence = Loaded(a=np.zeros(BIG), b=np.ones(BIG))
    file.publish(sequence, in_place=False)
    loader = StateLoader(file.fd)
    old = load(file, loader)

    for value in range(5):
        sequence.a[:] = value + 1
        file.publish(sequence, in_place=True)
        new = load(file, loader)
        file.reclaim([loader.acknowledged()])

    assert not old.a.any()
    assert (old.b == 1).all()
    assert (new.a == 5).all()


def test_only_what_changed_is_written(file):
    sequence = Loaded(a=np.ones(BIG), b=np.ones(BIG), paths=[str(i) for i in range(100_000)], n=0)
    file.publish(sequence, in_place=False)
    before = file.nbytes

    sequence.n = 1
    file.publish(sequence, in_place=False)
    assert file.nbytes - before <= 4 * mmap.PAGESIZE

    before = file.nbytes
    sequence.b[0] = 2
    file.publish(sequence, in_place=True)
    assert file.nbytes - before <= sequence.b.nbytes + 4 * mmap.PAGESIZE


def test_arrays_that_moved_are_not_sent_again(file):
    arrays = [np.full(BIG, i) for i in range(4)]
    sequence = Loaded(arrays=arrays)
    file.publish(sequence, in_place=False)
    before = file.nbytes

    arrays.insert(0, arrays.pop())
    file.publish(sequence, in_place=True)

    assert file.nbytes - before <= 4 * mmap.PAGESIZE
    assert [a[0] for a in load(file).arrays] == [3, 0, 1, 2]


def test_what_was_replaced_is_let_go_of_at_the_next_publish(file):
    sequence = Loaded(a=np.zeros(BIG))
    file.publish(sequence, in_place=False)
    old = weakref.ref(sequence.a)
    gc.disable()
    try:
        sequence.a = np.ones(BIG)
        file.publish(sequence, in_place=False)
        assert old() is None
    finally:
        gc.enable()


def test_aliases_stay_aliases(file):
    array, paths, table = np.zeros(BIG), [str(i) for i in range(5000)], {}
    sequence = Loaded(
        a=array,
        b=array,
        paths=paths,
        deep={"x": [paths, (paths,)]},
        table=table,
        again=[table],
        small=np.zeros(2),
    )
    sequence.also_small = sequence.small
    sequence.g = sequence.method
    sequence.f = sequence.g
    file.publish(sequence, in_place=False)

    loaded = load(file)

    assert loaded.a is loaded.b
    assert loaded.paths is loaded.deep["x"][0] is loaded.deep["x"][1][0]
    assert loaded.table is loaded.again[0]
    assert loaded.small is loaded.also_small
    assert loaded.f is loaded.g
    assert loaded.f() is loaded


def test_equal_lists_stay_two_lists(file):
    sequence = Loaded(a=[0] * 2000, b=[0] * 2000)
    file.publish(sequence, in_place=False)
    sequence.c = list(sequence.a)
    file.publish(sequence, in_place=True)

    loaded = load(file)

    assert loaded.a is not loaded.b
    assert loaded.a is not loaded.c
    assert loaded.a == loaded.b == loaded.c


def test_two_views_of_the_same_memory_travel_once(file):
    array = np.zeros(BIG)
    file.publish(Loaded(a=array, b=array.reshape(-1, 2)), in_place=False)

    loaded = load(file)
    loaded.a[0] = 5

    assert file.nbytes <= array.nbytes + 8 * mmap.PAGESIZE
    assert loaded.b[0, 0] == 5


@pytest.mark.parametrize(
    "sequence",
    [
        [1, 2, 3],
        [str(i) for i in range(5000)],
        tuple(range(5000)),
        np.arange(BIG),
        np.arange(3),
        range(10),
        "x" * 100_000,
    ],
    ids=lambda sequence: f"{type(sequence).__name__}-{len(sequence)}",
)
def test_a_sequence_without_attributes_works(file, sequence):
    assert file.publish(sequence, in_place=False)
    assert not file.publish(sequence, in_place=False)
    assert not file.publish(sequence, in_place=True)
    assert same(load(file), sequence)


def test_a_partial_works(file):
    sequence = functools.partial(divmod, 7)
    file.publish(sequence, in_place=False)

    assert load(file)(2) == (3, 1)


def test_a_class_and_a_lambda_that_no_module_has_arrive(file):
    class Local:
        def __getitem__(self, index):
            return index * self.scale(2)

    sequence = Local()
    sequence.scale = lambda x: x * 10
    file.publish(sequence, in_place=True)

    assert not file.publish(sequence, in_place=True)  # cloudpickle's output is stable
    assert load(file)[3] == 60


class Stateful(Loaded):
    def __getstate__(self):
        return {"paths": list(self.paths), "n": self.n}


def test_a_getstate_that_copies_its_lists_is_found_unchanged(file):
    sequence = Stateful(paths=[str(i) for i in range(3000)], n=1, lock=threading.Lock())
    file.publish(sequence, in_place=False)

    assert not file.publish(sequence, in_place=True)
    assert load(file).paths == sequence.paths


class Unwilling:
    def __reduce__(self):
        raise ValueError("not today")


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"lock": threading.Lock()}, "sequence.lock, a "),
        ({"deep": {"x": [1, threading.Lock()]}}, 'sequence.deep["x"][1], a '),
        ({"inner": Loaded(lock=threading.Lock())}, "sequence.inner.lock, a "),
        ({"generator": (i for i in range(3))}, "sequence.generator, a generator"),
    ],
)
def test_what_cannot_be_pickled_is_named(file, attributes, place):
    with pytest.raises((TypeError, pickle.PicklingError)) as caught:
        file.publish(Loaded(**attributes), in_place=False)

    assert place in str(caught.value)
    assert "Workers get a pickle of the Sequence: " in str(caught.value)


def test_an_error_of_the_users_own_keeps_its_type(file):
    with pytest.raises(ValueError, match="not today") as caught:
        file.publish(Loaded(a=Unwilling()), in_place=False)

    assert "sequence.a" in caught.value.__notes__[0]


def test_a_failed_publish_leaves_the_version_before(file):
    sequence = Loaded(a=np.zeros(BIG))
    file.publish(sequence, in_place=False)
    before = file.version, file.offset, file.nbytes
    sequence.lock = threading.Lock()
    sequence.a[:] = 1
    with pytest.raises(TypeError):
        file.publish(sequence, in_place=True)
    assert (file.version, file.offset, file.nbytes) == before
    assert not load(file).a.any()

    del sequence.lock

    assert file.publish(sequence, in_place=True)
    assert file.version == 2
    assert (load(file).a == 1).all()


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_memory_that_runs_out_is_a_memory_error_with_numbers(file, monkeypatch, fails_at):
    sequence = Loaded(a=np.zeros(BIG))
    file.publish(sequence, in_place=False)
    before = file.nbytes
    sequence.a[:] = 1
    writes = []

    def pwrite(fd, data, offset, _pwrite=os.pwrite):
        writes.append(len(data))
        if len(writes) > fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _pwrite(fd, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(state.os, "pwrite", pwrite)
        sequence.n = 1
        with pytest.raises(MemoryError, match="bytes"):
            file.publish(sequence, in_place=True)

    assert file.version == 1
    assert file.nbytes == before
    assert not load(file).a.any()
    assert file.publish(sequence, in_place=True)
    assert (load(file).a == 1).all()


def raising_at(instant):
    """A trace function that raises at the n-th line that runs in our modules."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if "/process/consumer/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines += 1
            if lines == instant:
                raise KeyboardInterrupt
        return trace

    return trace


def test_an_exception_at_any_instant_leaves_a_usable_state():
    instant, done = 0, False
    while not done:
        instant += 1
        file = StateFile()
        sequence = Loaded(a=np.zeros(SMALL // 8), paths=list(range(2000)), n=0)
        file.publish(sequence, in_place=False)
        sequence.a[:] = 1
        sequence.paths.append(-1)
        previous = sys.gettrace()
        sys.settrace(raising_at(instant))
        try:
            file.publish(sequence, in_place=True)
            done = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(previous)

        loaded = load(file)
        assert (loaded.a == (file.version == 2)).all()
        assert len(loaded.paths) == 1999 + file.version

        sequence.n = 1
        sequence.a[5] = 2
        assert file.publish(sequence, in_place=True)
        assert same(load(file).__dict__, sequence.__dict__)
        file.reclaim([])
        assert same(load(file).__dict__, sequence.__dict__)
        file.close()

    assert instant > 50  # it did run through our lines


class Explodes:
    def __setstate__(self, _):
        raise ValueError("cannot be rebuilt")

    def __getstate__(self):
        return {"a": 1}


def test_an_error_in_loading_is_raised(file):
    file.publish(Loaded(a=Explodes()), in_place=False)

    with pytest.raises(ValueError, match="cannot be rebuilt"):
        load(file)


def test_close_is_idempotent():
    file = StateFile()
    file.close()
    file.close()


def test_a_dropped_state_file_closes_its_descriptor():
    fd = StateFile().fd

    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
