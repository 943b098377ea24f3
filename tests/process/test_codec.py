"""What the worker encodes is what the consumer decodes: values, types, order of memory."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from arena_ends import Ends
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sameness import assert_same

from seqloader.executors.process.wire.layouts import DEFINES, DESCRIBED, MOST_LAYOUTS, PICKLED

DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.array_dtypes(max_size=3),
    hnp.unicode_string_dtypes(max_len=4),
    hnp.byte_string_dtypes(max_len=4),
    st.sampled_from(["f2", "?", ">i4", "M8[ns]", "m8[D]", "c16", "V5"]).map(np.dtype),
)


@st.composite
def arrays(draw: Any) -> Any:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    dtype = draw(DTYPES)
    count = int(np.prod(shape)) * dtype.itemsize
    data = draw(st.binary(min_size=min(count, 8), max_size=8)) or b"\0"
    filler = (data * (count // len(data) + 1))[:count]
    try:
        array = np.ndarray(shape, dtype, bytearray(filler)).copy()
    except (ValueError, TypeError):  # a dtype without size
        array = np.zeros(shape, dtype)
    form = draw(st.sampled_from(["C", "F", "reversed", "strided", "read-only"]))
    if form == "F":
        array = np.asfortranarray(array) if array.ndim else array
    elif form == "reversed":
        array = array[..., ::-1] if array.ndim else array
    elif form == "strided":
        array = array[::2] if array.ndim else array
    elif form == "read-only":
        array.flags.writeable = False
    return array


NESTS = st.recursive(
    arrays() | st.none() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=6,
)
ARRAY_NESTS = st.recursive(
    arrays(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batch=NESTS | ARRAY_NESTS, copy=st.booleans())
def test_every_nest_comes_back_the_first_time_and_the_second(batch: Any, copy: bool) -> None:
    ends = Ends(copy=copy)
    try:
        for _ in range(2):
            assert_same(ends.carry(batch), batch)
    finally:
        ends.close()


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Sample:
    image: Any
    label: int


class Colour(enum.Enum):
    RED = 1


class Names(dict):  # type: ignore[type-arg]
    pass


class Listed(list):  # type: ignore[type-arg]
    pass


class Matrix(np.ndarray):
    pass


def _structured() -> Any:
    return np.array([(1, 2.5, "ab")], np.dtype([("a", "i4"), ("b", "f8"), ("c", "U3")], align=True))


def _memmap(folder: Any) -> Any:
    return np.memmap(folder / "data", np.float32, "w+", shape=(4, 5))


SPECIMENS: dict[str, Any] = {
    "None": None,
    "int": 3,
    "empty tuple": (),
    "empty list": [],
    "empty dict": {},
    "nest of empties": ([], {}, ((),), np.ones(2)),
    "numpy scalar": np.float32(2.5),
    "0-d": np.array(7),
    "zero-size": np.empty((3, 0, 2), np.float32),
    "F order": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "F order beside a name": (np.asfortranarray(np.arange(12.0).reshape(3, 4)), "x"),
    "negative strides": np.arange(12)[::-1],
    "negative strides beside a name": (np.arange(12)[::-1], "x"),
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "big-endian": np.arange(5, dtype=">i4"),
    "datetime64": np.array(["2024-01-01", "NaT"], "M8[ns]"),
    "timedelta64": np.array([1, 2], "m8[s]"),
    "float16": np.ones(3, np.float16),
    "longdouble": np.ones(3, np.longdouble),
    "bool": np.array([True, False]),
    "str": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "void": np.zeros(3, "V7"),
    "object": np.array([1, "a", None], object),
    "object in a field": np.array([(1, [2])], [("a", "i4"), ("b", "O")]),
    "structured": _structured(),
    "field of a structured": _structured()["b"],
    "nested structured": np.zeros(2, [("a", [("x", "f4")]), ("b", "f4", (2, 2))]),
    "recarray": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "record dtype": np.zeros(2, np.dtype((np.record, [("a", "i4")]))),
    "dtype with metadata": np.zeros(2, np.dtype("f4", metadata={"unit": "m"})),
    "masked": np.ma.masked_array([1.0, 2.0], mask=[False, True]),
    "matrix": np.ones((2, 2)).view(Matrix),
    "named tuple": Point(np.ones(2), np.ones(3)),
    "dataclass": Sample(np.ones(2), 3),
    "OrderedDict": collections.OrderedDict(b=np.ones(2), a=np.ones(3)),
    "defaultdict": collections.defaultdict(list, a=np.ones(2)),
    "dict subclass": Names(a=np.ones(2)),
    "list subclass": Listed([np.ones(2)]),
    "order of a dict": {"b": np.ones(1), "a": np.ones(2), 3: np.ones(4)},
    "bool keys": {True: np.ones(1), 2: np.ones(2)},
    "float keys": {1.5: np.ones(1)},
    "strings": ["a", "b"],
    "set": {1, 2},
    "bytearray": bytearray(b"abc"),
    "enum": Colour.RED,
    "datetime": datetime.datetime(2024, 1, 1),
    "range": range(3),
    "deque": collections.deque([1, 2]),
    "deep": [[[[[[[[[[[[[[[[[[[[[[[[[np.ones(2)]]]]]]]]]]]]]]]]]]]]]]]]],
    "many": [np.full(n % 3, n) for n in range(1100)],
}
if hasattr(np.dtypes, "StringDType"):
    SPECIMENS["StringDType"] = np.array(["a", "a longer string than fits"], np.dtypes.StringDType())


@pytest.mark.parametrize("copy", [False, True], ids=["view", "copy"])
@pytest.mark.parametrize("sent", SPECIMENS.values(), ids=SPECIMENS.keys())
def test_specimen_comes_back_exactly(sent: Any, copy: bool) -> None:
    ends = Ends(copy=copy)

    for _ in range(3):
        assert_same(ends.carry(sent), sent)

    ends.close()


def test_memmap_leaf_comes_back_as_its_values(ends: Ends, tmp_path: Any) -> None:
    leaf = _memmap(tmp_path)
    leaf[:] = 3

    got = ends.carry((leaf, np.ones(2)))[0]

    assert np.array_equal(got, np.full((4, 5), 3, np.float32))


@pytest.mark.parametrize("order", ["C", "F"])
def test_order_of_memory_is_kept(ends: Ends, order: Any) -> None:
    sent = np.asarray(np.arange(24.0).reshape(2, 3, 4), order=order)

    for _ in range(2):
        got = ends.carry({"a": sent})["a"]
        assert got.flags[f"{order}_CONTIGUOUS"]
        assert got.strides == sent.strides


def test_arrays_of_a_batch_are_writable_aligned_and_apart(ends: Ends) -> None:
    sent = [np.arange(n, dtype="u1") for n in (1, 3, 64, 65)]
    sent[1].flags.writeable = False

    for _ in range(2):
        got = ends.carry(sent)
        for number, array in enumerate(got):
            assert array.ctypes.data % 64 == 0
            array[:] = 200 + number
        assert [set(array.tolist()) for array in got] == [{200}, {201}, {202}, {203}]


def test_buffers_beside_a_pickle_are_aligned(ends: Ends) -> None:
    got = ends.carry(("name", np.arange(5), np.arange(7)))

    assert [array.ctypes.data % 64 for array in got[1:]] == [0, 0]
    got[1][:] = 9


def test_same_array_twice_stays_one_array(ends: Ends) -> None:
    one = np.ones(4)

    got = ends.carry([one, one])
    also = ends.carry({"a": one, "b": (np.zeros(2), one)})

    assert got[0] is got[1]
    assert also["a"] is also["b"][1]


def test_same_list_twice_stays_one_list(ends: Ends) -> None:
    one: list[Any] = []

    got = ends.carry((one, one, np.ones(2)))

    assert got[0] is got[1]


def test_batch_that_contains_itself_comes_back(ends: Ends) -> None:
    batch: list[Any] = [np.ones(2)]
    batch.append(batch)

    got = ends.carry(batch)

    assert got[1] is got
    del got[1], batch[1]


def test_layout_is_sent_once(ends: Ends) -> None:
    kinds = []
    for _ in range(3):
        ends.ticket()
        report = ends.send([(np.ones((2, 3)), np.ones(4))])
        kinds.append(report.layout)
        ends.open(report)

    assert kinds == [DEFINES | 1, 1, 1]


def test_non_contiguous_copies_share_what_is_sent_but_not_what_differs(ends: Ends) -> None:
    for sent in (np.ones((4, 3)), np.ones((4, 6))[:, ::2], np.ones((3, 4)).T, np.ones((4, 4))):
        assert_same(ends.carry(sent), sent)
        assert_same(ends.carry(sent), sent)


def test_equal_dtypes_made_anew_share_a_layout(ends: Ends) -> None:
    layouts = []
    for _ in range(3):
        ends.ticket()
        report = ends.send([np.zeros(2, [("a", "i4"), ("b", ">f8")])])
        layouts.append(report.layout)
        ends.open(report)

    assert layouts == [DEFINES | 1, 1, 1]


def test_dropped_report_still_defines_its_layout(ends: Ends) -> None:
    ends.ticket()
    ends.discard(ends.send([np.ones(5)]))

    got = ends.carry(np.full(5, 2.0))

    assert got.tolist() == [2.0] * 5


def test_ever_new_shapes_are_described_and_not_remembered(ends: Ends) -> None:
    for n in range(MOST_LAYOUTS + 20):
        sent = np.arange(n)
        ends.ticket()
        report = ends.send([sent])
        assert (report.layout == DESCRIBED) == (n >= MOST_LAYOUTS)
        assert_same(ends.open(report), sent)

    assert len(ends.view.layouts) == MOST_LAYOUTS


def test_strings_are_pickled(ends: Ends) -> None:
    ends.ticket()
    report = ends.send([{"names": ["a", "b"], "image": np.ones(5)}])

    assert report.layout == PICKLED


def test_batch_that_cannot_be_pickled_costs_no_block(ends: Ends) -> None:
    ends.carry((np.ones(2), "x"))
    backed = ends.view.backed_bytes()

    for _ in range(20):
        ends.ticket()
        with pytest.raises(Exception, match="pickle"):
            ends.send([(np.ones(2), (n for n in range(3)))])

    assert ends.view.backed_bytes() == backed


def test_batch_is_let_go_of_when_it_is_written(ends: Ends) -> None:
    array = np.ones(5)
    before = sys.getrefcount(array)

    ends.carry([array])
    ends.carry((array, "x"))

    assert sys.getrefcount(array) == before


class TestTorch:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch", reason="torch is not installed")

    def test_tensors_view_the_block(self, ends: Ends) -> None:
        torch = self.torch
        sent = {"x": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.bfloat16)}
        ends.ticket()
        report = ends.send([sent])
        got = ends.open(report)

        assert torch.equal(got["x"], sent["x"])
        assert got["b"].dtype == torch.bfloat16
        piece = got["x"][1:]
        got = None
        assert not ends.is_free(report.block)
        piece += 1
        del piece
        assert ends.is_free(report.block)
