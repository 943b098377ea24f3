"""What a batch consists of, and how two computations of it differ."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from seqloader.command.check.leaves import _content, difference, leaves_of, parts_of

Pair = namedtuple("Pair", "left right")


@dataclass
class Labelled:
    image: object
    label: object


def test_every_leaf_has_the_path_that_leads_to_it():
    batch = {"x": (np.zeros((2, 3)), [1, "two"]), "y": Pair(Labelled(None, 2.5), np.arange(2))}

    leaves = {leaf.path: leaf.kind for leaf in leaves_of(batch)}

    assert leaves == {
        '["x"][0]': "float64 (2, 3)",
        '["x"][1][0]': "int",
        '["x"][1][1]': "str",
        '["y"].left.image': "NoneType",
        '["y"].left.label': "float",
        '["y"].right': "int64 (2,)",
    }


def test_a_long_list_of_numbers_is_one_leaf_and_one_of_arrays_is_not():
    assert [leaf.kind for leaf in leaves_of([*range(100)])] == ["list of 100"]
    assert len(leaves_of([np.zeros(1)] * 100)) == 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.full(3, np.nan), np.full(3, np.nan)),
        ({"a", "b", "c"}, {"c", "b", "a"}),
        (np.arange(6)[::2], np.array([0, 2, 4])),
        (np.array(["a", None], object), np.array(["a", None], object)),
    ],
    ids=["nan", "set", "slice", "objects"],
)
def test_what_is_equal_has_equal_leaves(one, other):
    assert leaves_of(one) == leaves_of(other)
    assert difference("", one, other) is None


@pytest.mark.parametrize(
    ("one", "other", "elements", "of"),
    [
        (np.zeros((2, 3)), np.array([[0, 0, 1], [0, 2, 0.0]]), 2, 6),
        (np.array(["a", "b"]), np.array(["a", "c"]), 1, 2),
        (np.array(["a", 1], object), np.array(["a", 2], object), 1, 2),
        ([*range(100)], [*range(99), -1], 1, 100),
        ("a", "b", -1, 0),
        (np.zeros(2), np.zeros(3), -1, 0),
    ],
    ids=["array", "text", "objects", "list", "str", "shape"],
)
def test_elements_that_differ_are_counted(one, other, elements, of):
    found = difference('["x"]', one, other)

    assert found is not None
    assert (found.path, found.elements, found.of) == ('["x"]', elements, of)
    assert leaves_of(one) != leaves_of(other)


def test_what_is_like_an_array_is_compared_as_one():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3)

    [(path, part)] = parts_of(Tensor())

    assert path == ""
    assert isinstance(part, np.ndarray)


def test_what_cannot_be_pickled_is_a_leaf_nevertheless():
    [leaf] = leaves_of(number for number in range(3))

    assert leaf.kind == "generator"


def test_equal_strings_are_equal_whether_they_are_one_object_or_several():
    once = "".join(["sam", "ple"])
    twice = ["".join(["sam", "ple"]), "".join(["sam", "ple"])]

    assert _content((once, once)) == _content(tuple(twice))
    assert _content(np.array([once, once], object)) == _content(np.array(twice, object))
