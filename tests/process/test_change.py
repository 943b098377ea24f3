from __future__ import annotations

import datetime
import pathlib

import numpy as np
import pytest

from seqloader.executors.process.consumer.change import (
    LARGE_BYTES,
    LARGE_LENGTH,
    Kept,
    is_flat,
    same_bytes,
)
from seqloader.executors.process.consumer.sending import pickle_part
from seqloader.sequence.bindings import bindings, same_bindings


class Plain:
    def __init__(self) -> None:
        self.a = [1]


class Slotted:
    __slots__ = ("__hidden", "a", "unset")

    def __init__(self) -> None:
        self.a = 1
        self.__hidden = 2

    def rebind_hidden(self) -> None:
        self.__hidden = 3


def test_nothing_bound_anew_is_the_same():
    sequence = Plain()
    before = bindings(sequence)

    sequence.a.append(2)

    assert same_bindings(before, bindings(sequence))


def test_an_equal_object_bound_anew_is_a_change():
    sequence = Plain()
    before = bindings(sequence)

    sequence.a = [1]

    assert not same_bindings(before, bindings(sequence))


@pytest.mark.parametrize("edit", [lambda s: setattr(s, "b", None), lambda s: delattr(s, "a")])
def test_an_attribute_more_or_less_is_a_change(edit):
    sequence = Plain()
    before = bindings(sequence)

    edit(sequence)

    assert not same_bindings(before, bindings(sequence))


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: setattr(s, "a", 1000),
        lambda s: setattr(s, "unset", 1),
        lambda s: delattr(s, "a"),
        Slotted.rebind_hidden,
    ],
)
def test_slots_count_as_attributes(edit):
    sequence = Slotted()
    before = bindings(sequence)
    assert same_bindings(before, bindings(sequence))

    edit(sequence)

    assert not same_bindings(before, bindings(sequence))


@pytest.mark.parametrize("sequence", [[1, 2], np.zeros(3), range(4), "text"])
def test_objects_without_attributes_have_no_bindings(sequence):
    assert bindings(sequence) == {}


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None, 2.0, b"x", True, 1j],
        [("path", 1), ("other", (2, (3,)))],
        {"a": 1, ("b", 2): ("c",)},
        {1, 2},
        frozenset({"a"}),
        (pathlib.PosixPath("/a"), datetime.date(2020, 1, 1)),
        [np.int64(1), np.float32(2), np.str_("x")],
        [],
    ],
)
def test_containers_of_what_cannot_change_are_flat(value):
    assert is_flat(value)


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        [[1]],
        [1, [2]],
        [(1, [2])],
        [(1, (2, {}))],
        {"a": []},
        {(1, Plain): 1},
        [np.zeros(1)],
        [np.void(b"ab")],
        [Text("a")],
        [bytearray(b"a")],
        (((((((1,),),),),),),),
    ],
)
def test_containers_of_what_may_change_are_not_flat(value):
    assert not is_flat(value)


def test_only_exact_and_long_containers_are_large():
    class Mine(list):
        pass

    def is_sent_by_itself(value):
        return bool(pickle_part(value).externals)

    assert is_sent_by_itself([0] * LARGE_LENGTH)
    assert not is_sent_by_itself([0] * (LARGE_LENGTH - 1))
    assert not is_sent_by_itself(Mine([0] * LARGE_LENGTH))
    assert is_sent_by_itself("x" * LARGE_BYTES)
    assert not is_sent_by_itself("x" * (LARGE_BYTES - 1))


CONTAINERS = {
    "list": lambda: [object() for _ in range(5)],
    "tuple": lambda: tuple(object() for _ in range(5)),
    "dict": lambda: {object(): object() for _ in range(5)},
    "set": lambda: {object() for _ in range(5)},
    "frozenset": lambda: frozenset(object() for _ in range(5)),
    "bytes": lambda: b"abc" * 5,
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_an_untouched_container_is_the_same(kind):
    container = CONTAINERS[kind]()

    assert Kept(container).same(container)


@pytest.mark.parametrize(
    ("container", "edit"),
    [
        ([1000, 2000], lambda c: c.append(1)),
        ([1000, 2000], lambda c: c.reverse()),
        ([1000, 2000], lambda c: c.__setitem__(0, 1000.0)),
        ([1, 0], lambda c: c.__setitem__(0, True)),
        ({"a": 1}, lambda c: c.update(a=True)),
        ({"a": 1}, lambda c: c.update(b=1)),
        ({"a": 1, "b": 2}, lambda c: c.update(a=c.pop("a"))),
        ({1, 2}, lambda c: c.add(3)),
    ],
)
def test_a_container_edited_in_place_is_not_the_same(container, edit):
    kept = Kept(container)

    edit(container)

    assert not kept.same(container)


def test_containers_of_other_types_are_not_the_same():
    assert not Kept([1, 2]).same((1, 2))
    assert not Kept({1: 1}).same([1])


def test_a_kept_set_is_pickled_as_a_set():
    import pickle

    assert pickle.loads(Kept({1, 2}).pickled()) == {1, 2}


@pytest.mark.parametrize("size", [0, 1, 8, 15, 4096])
def test_bytes_are_compared_to_the_last(size):
    one = np.arange(size, dtype=np.uint8)
    other = one.copy()

    assert same_bytes(one, other)
    if size:
        other[-1] ^= 1
        assert not same_bytes(one, other)
    assert not same_bytes(one, np.arange(size + 1, dtype=np.uint8))
