"""What a batch consists of, and how two computations of it differ."""

from __future__ import annotations

from collections import UserDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from seqloader.command.check.leaves import as_array, differences, leaves_of, parts_of

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
    assert differences(parts_of(one), parts_of(other)) == ()


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
    [found] = differences([('["x"]', one)], [('["x"]', other)])

    assert (found.path, found.elements, found.of) == ('["x"]', elements, of)
    assert leaves_of(one) != leaves_of(other)


def test_what_is_like_an_array_is_compared_as_one():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3)

    [(path, part)] = parts_of(Tensor())

    assert path == ""
    assert isinstance(as_array(part), np.ndarray)


def test_what_cannot_be_pickled_is_a_leaf_nevertheless():
    [leaf] = leaves_of(number for number in range(3))

    assert leaf.kind == "generator"


class Holding:
    def __init__(self, *parts):
        self.parts = parts


def text_of(*parts):
    """A new object each time."""
    return "".join(parts)


@pytest.mark.parametrize("hold", [Holding, lambda *parts: np.array([*parts], object)])
def test_equal_strings_are_equal_whether_they_are_one_object_or_several(hold):
    once = text_of("sam", "ple")

    assert leaves_of(hold(once, once)) == leaves_of(hold(text_of("sam", "ple"), text_of("sample")))


def test_sets_are_equal_whatever_order_they_have_also_deep_in_an_object():
    ordered, reversed_ = [{3, 11}, {8, 0}], [{11, 3}, {0, 8}]
    assert [*ordered[1]] != [*reversed_[1]], "the order of a set shows"

    assert leaves_of(Holding([Holding(part) for part in ordered])) == leaves_of(
        Holding([Holding(part) for part in reversed_])
    )
    assert leaves_of(Holding({1, 2})) != leaves_of(Holding({1, 3}))


def test_a_mapping_is_a_nest():
    assert [leaf.path for leaf in leaves_of(UserDict(x=1, y=[np.zeros(2)]))] == [
        '["x"]',
        '["y"][0]',
    ]


def test_a_batch_that_contains_itself_has_leaves():
    batch = [1]
    batch.append(batch)

    assert leaves_of(batch) == leaves_of(batch)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize(
    "make",
    [
        lambda torch, n: torch.full((3,), n, dtype=torch.bfloat16),
        lambda torch, n: (n * torch.eye(3)).to_sparse(),
        lambda torch, n: (n * torch.eye(3)).to_sparse_csr(),
        lambda torch, n: Holding(torch.full((3,), n)),
        lambda torch, n: Holding((n * torch.eye(3)).to_sparse(), torch.tensor(1.0).bfloat16()),
        lambda torch, n: UserDict(x=torch.full((3,), n)),
    ],
    ids=["bfloat16", "sparse", "csr", "held", "sparse held", "mapping"],
)
def test_equal_tensors_are_equal_wherever_they_lie(make):
    torch = pytest.importorskip("torch")
    kept, one, other = make(torch, 2), make(torch, 2), make(torch, 3)

    assert leaves_of(one) == leaves_of(kept)
    assert leaves_of(one) != leaves_of(other)


@pytest.mark.torch
def test_elements_of_tensors_that_numpy_has_no_type_for_are_counted():
    torch = pytest.importorskip("torch")
    one, other = torch.zeros(4, dtype=torch.bfloat16), torch.zeros(4, dtype=torch.bfloat16)
    other[1] = 2

    [found] = differences([("", as_array(one))], [("", as_array(other))])

    assert (found.elements, found.of) == (1, 4)
