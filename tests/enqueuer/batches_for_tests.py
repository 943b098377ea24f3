"""Batches of every kind, by name: made in workers, and again in the tests to compare with."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
from typing import NamedTuple

import numpy as np


class Pair(NamedTuple):
    image: object
    label: object


class Tagged(dict):
    """A dict with an attribute."""

    tag = ""


class Stack(list):
    pass


class Meters(np.ndarray):
    """An array of a class of its own."""


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Sample:
    image: np.ndarray
    label: int = 0
    extra: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    image: np.ndarray


class Plain:
    """An object like any other."""

    def __init__(self, array):
        self.array = array

    def __eq__(self, other):
        return type(other) is Plain and np.array_equal(self.array, other.array)

    __hash__ = None


def arrays():
    table = np.arange(60.0).reshape(3, 4, 5)
    structured = np.zeros(3, [("place", "f4", (2,)), ("name", "U5"), ("count", "i2")])
    structured["name"] = ["a", "bc", "def"]
    structured["count"] = [1, 2, 3]
    masked = np.ma.masked_array([1, 2, 3], [False, True, False])
    return {
        "float32": np.ones((2, 3), np.float32),
        "bools": np.array([True, False]),
        "complex": np.array([1 + 2j]),
        "float16": np.arange(5, dtype=np.float16),
        "uint8 large": np.arange(300_000, dtype=np.uint8),
        "big endian": np.arange(4, dtype=">i4"),
        "objects": np.array([1, "two", None, [3]], dtype=object),
        "objects in 2-d": np.array([[{"a": 1}, 2], [3, 4]], dtype=object),
        "structured": structured,
        "record": structured.view(np.recarray),
        "text": np.array(["a", "bcd"]),
        "raw text": np.array([b"a", b"bcd"]),
        "times": np.array(["2020-01-01", "NaT"], "datetime64[D]"),
        "spans": np.array([1, 2], "timedelta64[ms]"),
        "void": np.zeros(2, "V7"),
        "transposed": table.T,
        "fortran": np.asfortranarray(table),
        "strided": table[:, ::2, ::-1],
        "broadcast": np.broadcast_to(np.arange(4), (3, 4)),
        "read-only": np.frombuffer(b"12345678", np.uint8),
        "empty": np.zeros((0, 5), np.int16),
        "empty in the middle": np.zeros((2, 0, 3)),
        "0-d": np.array(5.0),
        "0-d object": np.array({"a": 1}, dtype=object),
        "subclass": np.arange(3.0).view(Meters),
        "masked": masked,
        "32-d": np.zeros((1,) * 32),
    }


def others():
    array = np.arange(6).reshape(2, 3)
    ordered = collections.OrderedDict([("b", array), ("a", 1)])
    counting = collections.defaultdict(list, {"x": [array]})
    tagged = Tagged(a=array)
    tagged.tag = "kept"
    return {
        "numpy scalar": np.float32(1.5),
        "scalar of a time": np.datetime64("2020-01-01"),
        "int": 5,
        "huge int": 2**100,
        "float": float("inf"),
        "string": "text \N{SNOWMAN}",
        "bytes": b"\x00\xff" * 10,
        "bytearray": bytearray(b"abc"),
        "bool": True,
        "date": datetime.date(2020, 1, 2),
        "decimal": decimal.Decimal("1.10"),
        "path": pathlib.PurePosixPath("/a/b"),
        "enum": Color.RED,
        "range": range(3),
        "slice": slice(1, 2),
        "set": {1, 2},
        "frozenset": frozenset("ab"),
        "list": [array, array[0]],
        "tuple": (array, 1, "a"),
        "single": (array,),
        "nothing in a list": [],
        "nothing in a tuple": (),
        "nothing in a dict": {},
        "none in nests": [None, (None, array), {"a": None}],
        "namedtuple": Pair(array, {"deep": [array]}),
        "ordered dict": ordered,
        "default dict": counting,
        "dict subclass": tagged,
        "dict with odd keys": {1: array, (2, 3): array, None: 0, "s": 1},
        "list subclass": Stack([array, 2]),
        "deque": collections.deque([1, array], maxlen=4),
        "counter": collections.Counter("aab"),
        "dataclass": Sample(array, 3, {"more": (array,)}),
        "frozen dataclass": Frozen(array),
        "object": Plain(array),
        "class": Plain,
        "deep": [[[[[[{"a": ([array],)}]]]]]],
        "many": [np.full(3, k) for k in range(200)],
    }


def all_batches():
    return {**arrays(), **others()}


def one_name(index):
    return list(all_batches())[index]


def one_batch(index):
    return all_batches()[one_name(index)]


def torch_batches():
    import torch

    shared = torch.arange(4)
    leaf = torch.ones(3, requires_grad=True)
    return {
        "float": torch.arange(6.0).reshape(2, 3),
        "bfloat16": torch.ones(5, dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
        "int8": torch.arange(4, dtype=torch.int8),
        "complex": torch.tensor([1 + 2j]),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "strided": torch.arange(20)[::3],
        "empty": torch.zeros(0, 3),
        "0-d": torch.tensor(2.5),
        "requires grad": leaf,
        "large": torch.zeros(300, 300),
        "nest": {"x": [shared, shared], "y": (torch.ones(2), np.ones(2), None)},
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


def one_torch_batch(index):
    return list(torch_batches().values())[index]
