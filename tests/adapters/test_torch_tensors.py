"""What becomes of a batch's arrays, and of all else, in a nest of tensors."""

from __future__ import annotations

import collections
import dataclasses
import gc
import types
from typing import Any, NamedTuple

import numpy as np
import pytest
from sequences_for_adapters import Large

from seqloader import OrderedEnqueuer

torch = pytest.importorskip("torch", reason="torch is not installed")

from seqloader.adapters.torch import TorchLoader  # noqa: E402
from seqloader.adapters.torch.tensors import as_tensors  # noqa: E402

pytestmark = pytest.mark.torch


DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: Any
    name: str

    def __post_init__(self):
        if not isinstance(self.x, np.ndarray):
            raise TypeError("made anew with something else")


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


# --- arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=str)
def test_a_tensor_views_the_memory_of_its_array(dtype, shape):
    array = np.ones(shape, dtype)
    tensor = as_tensors(array)

    assert tensor.shape == shape
    assert tensor.dtype == getattr(torch, dtype)
    assert torch.equal(tensor, torch.ones(shape, dtype=tensor.dtype))
    if array.size:
        assert tensor.data_ptr() == array.ctypes.data
        tensor[...] = 0
        assert not array.any()


def test_strides_are_kept():
    array = np.arange(24.0).reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1)
    tensor = as_tensors(array)

    assert tensor.data_ptr() == array.ctypes.data
    assert tensor.tolist() == array.tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.broadcast_to(np.float32(7), (2, 3)),
        np.frombuffer(b"abcd", "uint8"),
        np.arange(6.0)[::-1],
        np.arange(6, dtype=">i4"),
        np.zeros(3, [("small", "i1"), ("x", "f8")])["x"],
    ],
    ids=["overlapping", "read-only", "negative strides", "big-endian", "field of a record"],
)
def test_what_torch_cannot_view_is_copied_without_a_warning(array):
    before = array.tolist()
    tensor = as_tensors(array)

    assert tensor.tolist() == before
    tensor[...] = 1  # it is its own
    assert array.tolist() == before


def test_arrays_in_files_become_tensors(tmp_path):
    written = np.memmap(tmp_path / "x", "int16", "w+", shape=(4,))
    written[:] = [1, 2, 3, 4]
    assert as_tensors(written).data_ptr() == written.ctypes.data
    written.flush()

    read = np.memmap(tmp_path / "x", "int16", "r", shape=(4,))
    tensor = as_tensors(read)
    tensor += 1  # over the file's own memory this would be a segmentation fault
    assert tensor.tolist() == [2, 3, 4, 5]
    assert read.tolist() == [1, 2, 3, 4]


def test_numpy_scalars_become_tensors_without_dimensions():
    tensor = as_tensors(np.float32(0.5))

    assert (tensor.shape, tensor.dtype, tensor.item()) == ((), torch.float32, 0.5)
    assert as_tensors(np.uint16(3)).dtype == torch.uint16


@pytest.mark.parametrize(
    "leaf",
    [
        np.array(["a"]),
        np.array([b"a"]),
        np.array([None]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([1], "timedelta64[s]"),
        np.zeros(1, [("x", "f8")]),
        np.zeros(1, "longdouble"),
        np.broadcast_to(np.array(["a"]), (2,)),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        np.str_("a"),
        np.datetime64("2020"),
        np.longdouble(1),
        "a",
        b"a",
        1,
        0.5,
        True,
        None,
        {1, 2},
        int,
        Frozen,
        object(),
    ],
    ids=repr,
)
def test_what_torch_has_no_type_for_stays_as_it_is(leaf):
    assert as_tensors(leaf) is leaf


def test_tensors_stay_as_they_are():
    tensor = torch.ones(2, requires_grad=True)

    assert as_tensors({"x": [tensor]})["x"][0] is tensor


# --- nests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nest",
    [
        (zeros(2), zeros(3)),
        [zeros(2), zeros(3)],
        {"x": zeros(2), 1: zeros(3)},
        Pair(zeros(2), zeros(3)),
        collections.OrderedDict(x=zeros(2), y=zeros(3)),
        collections.defaultdict(list, x=zeros(2)),
        collections.UserDict(x=zeros(2)),
        (),
        {},
    ],
    ids=lambda nest: type(nest).__name__,
)
def test_a_nest_keeps_its_type_and_is_not_changed(nest):
    def leaves(nest):
        return [*nest.values()] if hasattr(nest, "values") else [*nest]

    made = as_tensors(nest)

    assert type(made) is type(nest)
    assert len(made) == len(nest)
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves(made))
    assert all(isinstance(leaf, np.ndarray) for leaf in leaves(nest))


def test_a_default_dict_keeps_its_default_and_the_keys_their_order():
    made = as_tensors(collections.defaultdict(list, b=zeros(1), a=zeros(1)))

    assert list(made) == ["b", "a"]
    assert made["c"] == []


def test_a_read_only_mapping_becomes_a_dict():
    made = as_tensors(types.MappingProxyType({"x": zeros(2)}))

    assert type(made) is dict
    assert isinstance(made["x"], torch.Tensor)


def test_a_dataclass_is_copied_and_not_called():
    before = Frozen(zeros(2), "a")
    made = as_tensors(before)

    assert type(made) is Frozen
    assert isinstance(made.x, torch.Tensor)
    assert made.name == "a"
    assert isinstance(before.x, np.ndarray)


def test_nests_may_be_as_deep_as_they_like():
    made = as_tensors({"a": [(Pair(zeros(1), "b"), [Frozen(zeros(2), "c")])]})

    assert made["a"][0][0].x.shape == (1,)
    assert made["a"][0][0].y == "b"
    assert made["a"][0][1][0].x.shape == (2,)


# --- blocks -------------------------------------------------------------------------------


def test_tensors_lie_in_the_block_and_release_it_when_the_last_one_dies():
    with OrderedEnqueuer(Large(6), workers=1, max_queue_size=1) as enqueuer:
        loader = TorchLoader(enqueuer)
        batch = next(iter(loader))
        held = enqueuer.stats().held_bytes
        assert held >= 8 * 1000 * 4

        part = batch["x"][2:4].T
        assert part.data_ptr() == batch["x"].data_ptr() + 2 * 1000 * 4
        del batch
        gc.collect()
        assert enqueuer.stats().held_bytes == held

        del part
        assert enqueuer.stats().held_bytes == 0


def test_kept_tensors_are_never_written_over():
    with TorchLoader(Large(6), workers=2) as loader:
        kept = [batch["x"] for _ in range(3) for batch in loader]

    assert [int(x.unique().item()) for x in kept] == [0, 1, 2, 3, 4, 5] * 3


def test_copies_hold_no_block():
    with TorchLoader(Large(6), workers=1, copy=True) as loader:
        kept = [*loader]
        assert loader.enqueuer.stats().held_bytes == 0
    assert [int(batch["x"][0, 0]) for batch in kept] == [0, 1, 2, 3, 4, 5]
