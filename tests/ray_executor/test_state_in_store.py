"""The Sequence in the object store: what is put, and what is not put again."""

from __future__ import annotations

import multiprocessing
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from seqloader import share
from seqloader.executors.ray.state import State

LARGE = 1 << 17


class Reference(int):  # the store is a list
    """Of an object in the store."""


class Held:
    """A Sequence, as far as sending it goes."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


@pytest.fixture
def store(monkeypatch):
    objects = []

    def put(value):
        objects.append(np.array(value) if isinstance(value, np.ndarray) else value)
        return Reference(len(objects) - 1)

    stand_in = SimpleNamespace(put=put, get=objects.__getitem__, ObjectRef=Reference)
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    return objects


def nbytes(objects):
    return sum(value.nbytes for value in objects if isinstance(value, np.ndarray))


def test_a_small_sequence_is_one_object(store):
    state = State()

    assert state.publish(Held(value=1), in_place=True)
    assert (state.version, len(store)) == (1, 1)


def test_nothing_is_put_where_nothing_changed(store):
    state, sequence = State(), Held(data=np.zeros(LARGE), names=[str(i) for i in range(5000)])
    state.publish(sequence, in_place=True)
    before = len(store)

    assert not state.publish(sequence, in_place=False)
    assert not state.publish(sequence, in_place=True)
    assert (state.version, len(store)) == (1, before)


def test_only_what_changed_is_put(store):
    state, sequence = State(), Held(one=np.zeros(LARGE), other=np.zeros(2 * LARGE), value=1)
    state.publish(sequence, in_place=True)
    assert nbytes(store) == 3 * sequence.one.nbytes

    sequence.one[7] = 1.0
    assert state.publish(sequence, in_place=True)
    assert nbytes(store) == 4 * sequence.one.nbytes

    sequence.value = 2
    assert state.publish(sequence, in_place=False)
    assert nbytes(store) == 4 * sequence.one.nbytes
    assert state.version == 3


def test_what_is_bound_anew_is_seen_and_what_is_changed_inside_only_where_that_is_asked(store):
    state, sequence = State(), Held(data=np.zeros(LARGE))
    state.publish(sequence, in_place=True)

    sequence.data[0] = 1.0
    assert not state.publish(sequence, in_place=False)
    sequence.data = np.ones(LARGE)
    assert state.publish(sequence, in_place=False)


def test_a_shared_array_is_put_once_and_again_when_it_was_written_to(store):
    state, sequence = State(), Held(data=share(np.zeros(LARGE)))
    state.publish(sequence, in_place=True)
    assert nbytes(store) == sequence.data.nbytes

    assert not state.publish(sequence, in_place=True)
    assert not state.publish(sequence, in_place=False)
    sequence.data[0] = 1.0
    assert state.publish(sequence, in_place=False)
    assert nbytes(store) == 2 * sequence.data.nbytes


def test_the_manifest_names_objects_of_the_version_before(store):
    state, sequence = State(), Held(data=np.zeros(LARGE), value=1)
    state.publish(sequence, in_place=True)
    first = store[state.reference[0]]
    sequence.value = 2
    state.publish(sequence, in_place=True)
    second = store[state.reference[0]]

    assert first.buffers == second.buffers
    assert first.head != second.head


def test_what_exists_on_this_machine_only_is_refused_and_closed(store):
    state = State()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()

    with ours, theirs, pytest.raises(TypeError, match="this machine only"):
        state.publish(Held(pipe=ours), in_place=True)
    assert state.version == 0


def test_what_cannot_be_pickled_is_named(store):
    with pytest.raises(TypeError, match=r"sequence\.lines"):
        State().publish(Held(lines=(line for line in ())), in_place=True)


def test_closed_it_holds_nothing(store):
    state = State()
    state.publish(Held(value=1), in_place=True)

    state.close()
    state.close()

    assert (state.version, state.reference) == (0, [])
