from __future__ import annotations

import mmap
import os

import numpy as np
import pytest
from published import BIG, Loaded, load, same

from seqloader.executors.process.consumer.state import StateFile


class Marked(np.ndarray):
    pass


ARRAYS = {
    "fortran": lambda: np.asfortranarray(np.arange(BIG).reshape(512, -1)),
    "transposed": lambda: np.arange(BIG).reshape(64, 64, -1).transpose(1, 2, 0),
    "strided": lambda: np.arange(2 * BIG)[::2],
    "negative": lambda: np.arange(BIG)[::-1],
    "broadcast": lambda: np.broadcast_to(np.arange(512), (512, 512)),
    "subclass": lambda: np.arange(BIG).view(Marked),
    "matrix of records": lambda: np.rec.fromarrays([np.arange(BIG), np.ones(BIG)], names="a,b"),
    "structured": lambda: np.zeros(BIG, [("a", "<i4"), ("b", "u1", (3,))]),
    "datetime": lambda: np.arange(BIG).astype("M8[s]"),
    "half": lambda: (np.arange(BIG) % 1000).astype(np.float16),
    "big-endian": lambda: np.arange(BIG).astype(">i4"),
    "text": lambda: np.arange(BIG).astype("U6"),
    "masked": lambda: np.ma.masked_less(np.arange(BIG), 5),
    "objects": lambda: np.array([{"a": 1}, None, [1]] * 500, dtype=object),
    "scalar": lambda: np.array(5.0),
    "empty": lambda: np.zeros((3, 0, 2)),
    "small": lambda: np.arange(5)[::2],
    "small subclass": lambda: np.arange(5).view(Marked),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_kind_of_array_arrives(file, kind):
    array = ARRAYS[kind]()
    file.publish(Loaded(a=array), in_place=False)

    loaded = load(file).a

    assert same(loaded, array)
    assert loaded.flags.writeable == array.flags.writeable
    assert not file.publish(Loaded(a=array), in_place=True)


@pytest.mark.parametrize(("size", "step"), [(10, 1), (BIG, 1), (BIG, 2)])
def test_a_read_only_array_stays_read_only(file, size, step):
    array = np.arange(size * step)[::step]
    array.flags.writeable = False
    file.publish(Loaded(a=array), in_place=False)

    assert not load(file).a.flags.writeable


def test_a_large_array_is_not_copied_on_its_way(file):
    import tracemalloc

    array = np.ones(1 << 22)
    tracemalloc.start()
    try:
        file.publish(Loaded(a=array), in_place=True)
        file.publish(Loaded(a=array), in_place=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < array.nbytes / 8


@pytest.fixture
def mapped(tmp_path):
    def create(mode="r", **keywords):
        path = tmp_path / "data.bin"
        np.arange(BIG, dtype=np.int32).tofile(path)
        if mode == "w+":
            keywords.setdefault("shape", (BIG,))
        return np.memmap(path, np.int32, mode, **keywords)

    return create


VIEWS = {
    "whole": lambda m: m,
    "slice": lambda m: m[5000:9000],
    "small": lambda m: m[7:9],
    "steps": lambda m: m[10:BIG:3],
    "backwards": lambda m: m[::-1],
    "transposed": lambda m: m[: 1 << 16].reshape(256, -1).T[3:],
    "other dtype": lambda m: m[2:].view(np.uint16),
    "as ndarray": lambda m: np.asarray(m)[3:40],
    "unaligned": lambda m: m.view(np.uint8)[1:5].view(np.int32),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("offset", [0, 4, 3 * mmap.PAGESIZE + 8])
def test_a_view_of_a_mapped_file_travels_as_its_name(file, mapped, view, offset):
    array = VIEWS[view](mapped(offset=offset))
    file.publish(Loaded(a=array), in_place=False)

    loaded = load(file).a

    assert file.nbytes <= 4 * mmap.PAGESIZE
    assert type(loaded) is type(array)
    assert loaded.strides == array.strides
    assert np.array_equal(loaded, array)
    assert not loaded.flags.writeable
    again = pickle_round(loaded)  # what was loaded can be sent on
    assert np.array_equal(again, array)


def pickle_round(array):
    other = StateFile()
    try:
        other.publish(Loaded(a=array), in_place=False)
        assert other.nbytes <= 4 * mmap.PAGESIZE
        return load(other).a
    finally:
        other.close()


@pytest.mark.parametrize("mode", ["r+", "w+"])
def test_a_writable_mapped_file_is_shared_and_never_emptied(file, mapped, mode):
    array = mapped(mode)
    array[:] = 5
    file.publish(Loaded(a=array), in_place=False)

    loaded = load(file).a
    assert (loaded == 5).all()
    loaded[3] = 9

    assert array[3] == 9
    assert loaded.mode == "r+"


def test_private_changes_of_a_mapped_file_travel(file, mapped):
    array = mapped("c")
    array[5] = -1
    file.publish(Loaded(a=array), in_place=False)

    loaded = load(file).a

    assert type(loaded) is np.ndarray
    assert loaded[5] == -1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_deleted_file_travels_as_data(file, mapped, replaced):
    array = mapped()
    os.unlink(array.filename)
    if replaced:
        np.zeros(BIG, np.int32).tofile(array.filename)
    file.publish(Loaded(a=array), in_place=False)

    loaded = load(file).a

    assert np.array_equal(loaded, np.arange(BIG))


def test_what_was_computed_from_a_mapped_file_travels_as_data(file, mapped):
    array = mapped()
    file.publish(Loaded(a=array + 1, b=array[[1, 2]]), in_place=False)

    loaded = load(file)

    assert np.array_equal(loaded.a, array + 1)
    assert list(loaded.b) == [1, 2]


def test_a_thousand_slices_of_a_mapped_file_need_one_mapping(file, mapped):
    array = mapped()
    file.publish(Loaded(parts=[array[i : i + 4] for i in range(1000)]), in_place=False)
    before = len(os.listdir("/proc/self/fd"))

    loaded = load(file)

    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert [part[1] for part in loaded.parts] == list(range(1, 1001))


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_a_torch_tensor_arrives_out_of_band(file, dtype):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(BIG).to(getattr(torch, dtype))
    file.publish(Loaded(a=tensor), in_place=False)
    assert not file.publish(Loaded(a=tensor), in_place=True)

    loaded = load(file).a

    assert loaded.dtype == tensor.dtype
    assert torch.equal(loaded, tensor)
