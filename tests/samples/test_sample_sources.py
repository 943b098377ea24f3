"""What is accepted as a source of samples, and how each kind is read."""

from __future__ import annotations

import os
from itertools import chain
from typing import Any

import cloudpickle
import numpy as np
import pytest
from samples_for_tests import AtOnce, Numbers, Stored, Unpicklable

from seqloader import BatchedSequence, Sequence


def lists(sequence: Any) -> list[list[int]]:
    return [batch.tolist() for batch in sequence]


def test_source_with_getitems_is_asked_once_for_a_batch() -> None:
    assert lists(BatchedSequence(AtOnce(5), 3)) == [[0, 10, 20], [30, 40]]


def test_getitems_of_what_an_object_wraps_is_not_used() -> None:
    class Wrapped:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def __len__(self) -> int:
            return len(self.inner)

        def __getitem__(self, index: int) -> int:
            return -index

    assert lists(BatchedSequence(Wrapped(AtOnce(3)), 3)) == [[0, -1, -2]]


def test_getitems_that_returns_too_few_is_named() -> None:
    class Few(Numbers):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return indices[1:]

    with pytest.raises(ValueError, match=r"__getitems__ returned 2 samples, and was asked for 3"):
        BatchedSequence(Few(3), 3)[0]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(60).reshape(20, 3),
        np.arange(20, dtype=">f4"),
        np.arange(120).reshape(20, 6)[:, ::2],
        np.asfortranarray(np.arange(60).reshape(20, 3)),
        np.array([(i, i / 2) for i in range(20)], [("a", "i4"), ("b", "f8")]),
        np.array([f"{i}" for i in range(20)]),
        np.zeros((20, 0)),
    ],
    ids=["plain", "swapped", "strided", "fortran", "records", "text", "empty rows"],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_array_gives_the_rows_that_indexing_gives(array: np.ndarray, shuffle: bool) -> None:
    sequence = BatchedSequence(array, 8, shuffle=shuffle, seed=0)
    numbers = BatchedSequence(range(20), 8, shuffle=shuffle, seed=0)

    for batch, rows in zip(sequence, numbers, strict=True):
        assert type(batch) is np.ndarray
        assert batch.dtype == array.dtype
        assert np.array_equal(batch, array[rows])
        assert not np.shares_memory(batch, array)


def test_array_of_objects_is_a_list_of_samples() -> None:
    array = np.empty(3, object)
    array[:] = [np.zeros(2), np.ones(2), np.full(2, 2.0)]

    assert BatchedSequence(array, 3)[0].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_memmap_is_gathered(tmp_path: Any) -> None:
    np.arange(40, dtype="i4").tofile(tmp_path / "rows")
    rows = np.memmap(tmp_path / "rows", "i4", "r", shape=(20, 2))

    sequence = BatchedSequence(rows, 20, shuffle=True)

    assert sorted(sequence[0][:, 0].tolist()) == [*range(0, 40, 2)]
    assert type(sequence[0]) is np.ndarray


def test_stored_array_is_read_in_runs() -> None:
    stored = Stored(np.arange(40).reshape(20, 2))

    assert BatchedSequence(stored, 8)[1][:, 0].tolist() == [*range(16, 32, 2)]
    assert stored.reads == [(8, 16)]


def test_stored_array_is_read_in_few_runs_with_blocks() -> None:
    stored = Stored(np.arange(64))
    sequence = BatchedSequence(stored, 16, shuffle="blocks", block_length=8, seed=0)

    samples = [*chain.from_iterable(lists(sequence))]

    assert sorted(samples) == [*range(64)]
    assert samples != [*range(64)]
    assert len(stored.reads) <= 8


def test_stored_array_that_is_shuffled_gives_the_right_rows() -> None:
    values = np.arange(100).reshape(50, 2)
    plain = BatchedSequence(values, 7, shuffle=True, seed=3)

    for batch, expected in zip(
        BatchedSequence(Stored(values), 7, shuffle=True, seed=3), plain, strict=True
    ):
        assert batch.tolist() == expected.tolist()


def test_array_of_h5py_that_each_process_opens_is_read(tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "rows.h5"
    values = np.arange(120, dtype="f4").reshape(40, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=values, chunks=(8, 3))
    for options in ({}, {"shuffle": True}, {"shuffle": "blocks", "block_length": 8}):
        sequence = BatchedSequence(lambda: h5py.File(path)["rows"], 16, seed=0, **options)
        numbers = BatchedSequence(range(40), 16, seed=0, **options)
        for batch, rows in zip(sequence, numbers, strict=True):
            assert np.array_equal(batch, values[rows])
        sequence.source.file.close()


@pytest.mark.leaks_ok(reason="zarr keeps threads of its own")
def test_array_of_zarr_that_each_process_opens_is_read(tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    path = str(tmp_path / "rows.zarr")
    values = np.arange(120, dtype="f4").reshape(40, 3)
    zarr.open(path, mode="w", shape=values.shape, chunks=(8, 3), dtype="f4")[:] = values
    sequence = BatchedSequence(lambda: zarr.open(path, mode="r"), 16, shuffle=True, seed=0)
    numbers = BatchedSequence(range(40), 16, shuffle=True, seed=0)

    for batch, rows in zip(sequence, numbers, strict=True):
        assert np.array_equal(batch, values[rows])


def test_dataset_of_hugging_face_is_a_source() -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    columns = {"text": [f"text {i}" for i in range(10)], "label": [*range(10)]}
    sequence = BatchedSequence(datasets.Dataset.from_dict(columns), 4, shuffle=True, seed=0)

    batches = [*sequence]

    labels = [label for batch in batches for label in batch["label"].tolist()]
    texts = [text for batch in batches for text in batch["text"]]
    assert sorted(labels) == [*range(10)] != labels
    assert texts == [f"text {label}" for label in labels]


def test_source_is_opened_once_in_each_process_and_never_pickled_open() -> None:
    opened = []

    def open_it() -> Unpicklable:
        opened.append(os.getpid())
        return Unpicklable(4)

    sequence = BatchedSequence(open_it, 2, collate=list)
    assert [len(batch) for batch in sequence] == [2, 2]
    assert sequence.source is sequence.source
    assert opened == [os.getpid()]

    travelled = cloudpickle.loads(cloudpickle.dumps(sequence))

    assert travelled[1] == [(2, os.getpid()), (3, os.getpid())]


def test_forked_child_opens_the_source_for_itself() -> None:
    sequence = BatchedSequence(lambda: Unpicklable(4), 4, collate=list)
    assert len(sequence) == 1
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(sequence[0][0][1] == os.getpid()).encode())
        finally:
            os._exit(0)
    os.close(write)
    said = os.read(read, 10)
    os.close(read)
    os.waitpid(child, 0)

    assert said == b"True"


def test_what_was_opened_must_have_samples() -> None:
    sequence = BatchedSequence(lambda: {"a": 1}, 2)

    with pytest.raises(TypeError, match=r"what <function .* returned: got a mapping"):
        len(sequence)


# What is refused


class Streamed:
    def __iter__(self) -> Any:
        return iter(())


class Loader(Streamed):
    dataset = (1, 2)


class Unsized:
    def __getitem__(self, index: int) -> int:
        return index


class NeedsPath(Numbers):
    pass


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("text", "got str: its items are characters or bytes, not samples"),
        ({"a": 1}, "got a mapping"),
        (np.array(3), "it holds no samples to number"),
        (iter([1]), "its samples come one after another"),
        ({1, 2}, "got set: its samples come one after another"),
        (Streamed(), "got Streamed: its samples come one after another"),
        (Loader(), r"makes batches itself: pass its \.dataset"),
        (Unsized(), "Unsized does not define __len__"),
        (object(), "object does not define __getitem__"),
        (5, "int does not define __getitem__"),
        (NeedsPath, "source is NeedsPath, the class itself: pass an instance of it"),
        (lambda path: [path], "called without arguments; this one does not allow that"),
        ((np.zeros(9), np.zeros(9)), "tuple of 2 arrays of one length is 2 samples here.*ArraySeq"),
        (np.ma.masked_array([1]), "a masked array is two arrays"),
    ],
)
def test_source_without_samples_by_number_is_refused(source: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        BatchedSequence(source, 2)


def test_endless_source_is_refused_where_its_length_is_needed() -> None:
    class Endless(Sequence):
        num_batches = None

        def __getitem__(self, index: int) -> int:
            return index

    with pytest.raises(TypeError, match=r"the source \(.*Endless\) is endless"):
        len(BatchedSequence(Endless(), 2))
