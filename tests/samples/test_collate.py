"""Samples are stacked leaf by leaf; what differs is named and not mended."""

from __future__ import annotations

import datetime
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from samples_for_tests import Labelled, Point

from seqloader.samples.collate import stack_samples


def stack(*samples: Any) -> Any:
    """As samples 1024, 1025, ... of a source."""
    return stack_samples([*samples], range(1024, 1024 + len(samples)))


# What becomes of a leaf


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([1, 2, -3], np.int64),
        ([True, False], np.bool_),
        ([0.5, 1.0], np.float64),
        ([1j, 2j], np.complex128),
        ([np.float32(1), np.float32(2)], np.float32),
        ([np.uint8(1), np.uint8(2)], np.uint8),
        ([np.float64(1), 2.0], np.float64),
        ([1, np.int64(2)], np.int64),
        ([np.datetime64("2024-01-01"), np.datetime64("2025-01-01")], "M8[D]"),
    ],
)
def test_numbers_become_an_array_of_the_type_that_is_expected(samples: list, dtype: Any) -> None:
    batch = stack(*samples)

    assert batch.dtype == dtype
    assert batch.tolist() == np.array(samples, dtype).tolist()


@pytest.mark.parametrize("samples", [["a", "bc"], [b"a", b""], [np.str_("a"), "b"]])
def test_strings_are_kept_as_a_list(samples: list) -> None:
    assert stack(*samples) == samples
    assert type(stack(*samples)) is list


@pytest.mark.parametrize(
    "dtype", ["f4", "u1", ">i4", "M8[s]", "U3", [("a", "i4"), ("b", "f8")], "O"]
)
def test_arrays_of_every_dtype_are_stacked(dtype: Any) -> None:
    arrays = [np.zeros((2, 3), dtype), np.ones((2, 3), dtype)]

    batch = stack(*arrays)

    assert batch.dtype == arrays[0].dtype
    assert np.array_equal(batch, np.stack(arrays))


def test_arrays_without_dimensions_and_records_are_stacked() -> None:
    records = np.array([(1, 2.0), (3, 4.0)], [("a", "i4"), ("b", "f8")])

    assert stack(np.array(1), np.array(2)).tolist() == [1, 2]
    assert stack(*records).tolist() == records.tolist()
    assert stack(*records).dtype == records.dtype


def test_samples_are_copied() -> None:
    first = np.zeros(3)
    batch = stack(first, first)

    batch[0] = 1

    assert batch[1].tolist() == [0, 0, 0]
    assert first.tolist() == [0, 0, 0]


def test_pictures_of_pillow_are_stacked_as_arrays() -> None:
    image = pytest.importorskip("PIL.Image")
    pictures = [image.new("RGB", (4, 3), (value, 0, 0)) for value in (1, 2)]

    batch = stack(*pictures)

    assert (batch.shape, batch.dtype) == ((2, 3, 4, 3), np.uint8)
    assert batch[:, 0, 0, 0].tolist() == [1, 2]


def test_what_numpy_takes_for_an_array_is_stacked_with_arrays() -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.arange(3)

    assert stack(Foreign(), np.arange(3), Foreign()).tolist() == [[0, 1, 2]] * 3


# Nests


def test_nest_of_one_sample_is_the_nest_of_the_batch() -> None:
    def sample(value: int) -> Any:
        return {
            "image": np.full((2, 2), value, np.float32),
            "meta": (value, [f"name {value}", {"deep": value / 2}]),
            "point": Point(value, -value),
            7: (),
        }

    batch = stack(sample(1), sample(2))

    assert [*batch] == ["image", "meta", "point", 7]
    assert batch["image"].shape == (2, 2, 2)
    assert batch["meta"][0].tolist() == [1, 2]
    assert batch["meta"][1][0] == ["name 1", "name 2"]
    assert batch["meta"][1][1]["deep"].tolist() == [0.5, 1.0]
    assert type(batch["point"]) is Point
    assert batch["point"].y.tolist() == [-1, -2]
    assert batch[7] == ()


def test_dataclass_is_not_made_by_calling_it_and_samples_stay_as_they_are() -> None:
    first, second = Labelled(np.zeros(2), 1), Labelled(np.ones(2), 2)

    batch = stack(first, second)

    assert type(batch) is Labelled
    assert batch.image.tolist() == [[0, 0], [1, 1]]
    assert batch.label.tolist() == [1, 2]
    assert first.label == 1


@pytest.mark.parametrize("kind", [OrderedDict, UserDict])
def test_every_mapping_becomes_a_dict(kind: Any) -> None:
    batch = stack(kind(a=1), kind(a=2))

    assert type(batch) is dict
    assert batch["a"].tolist() == [1, 2]


def test_order_of_keys_is_that_of_the_first_sample() -> None:
    batch = stack({"a": 1, "b": 2}, {"b": 4, "a": 3})

    assert {key: value.tolist() for key, value in batch.items()} == {"a": [1, 3], "b": [2, 4]}


# What differs is named


@dataclass
class Other:
    image: Any
    label: Any


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            {"image": np.zeros((28, 28))},
            {"image": np.zeros((28, 27))},
            'sample 1026, leaf ["image"]: shape (28, 27); sample 1024 has shape (28, 28). ',
        ),
        (
            (1, [np.zeros(2, "f4")]),
            (1, [np.zeros(2)]),
            "sample 1026, leaf [1][0]: dtype float64; sample 1024 has dtype float32",
        ),
        (np.zeros((1, 3)), np.zeros(3), "sample 1026: shape (3,); sample 1024 has shape (1, 3)"),
        (
            Point(np.zeros(()), 0),
            Point(np.zeros(1), 0),
            "leaf .x: shape (1,); sample 1024 has shape ()",
        ),
        (1, 1.5, "sample 1026: float64; sample 1024 has int64"),
        (True, 1, "sample 1026: int64; sample 1024 has bool"),
        (np.float32(1), 1.0, "sample 1026: float64; sample 1024 has float32"),
        (1, 2**63, "sample 1026: 9223372036854775808, beyond int64; sample 1024 has 1"),
        (1, "1", "sample 1026: str; sample 1024 has int"),
        (1, np.ones(1), "sample 1026: ndarray; sample 1024 has int"),
        (1, None, "sample 1026: NoneType; sample 1024 has int"),
        ((1, 2), [1, 2], "sample 1026: list; sample 1024 has tuple"),
        ((1, 2), (1, 2, 3), "sample 1026: 3 elements; sample 1024 has 2 elements"),
        ([], [1], "sample 1026: 1 elements; sample 1024 has 0 elements"),
        ((1, 2), Point(1, 2), "sample 1026: Point; sample 1024 has tuple"),
        (Labelled(1, 2), Other(1, 2), "sample 1026: Other; sample 1024 has Labelled"),
        ({"a": 1}, {"b": 1}, "sample 1026: ['b']; sample 1024 has ['a']"),
        ({"a": 1}, {"a": 1, "b": 1}, "sample 1026: ['a', 'b']; sample 1024 has ['a']"),
        ({"a": {7: 1}}, {"a": {7: 1.0}}, 'leaf ["a"][7]: float64'),
    ],
)
def test_sample_and_leaf_that_differ_are_named(first: Any, second: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        stack(first, first, second, first)

    assert said in str(caught.value)
    assert "make them so in `transform`, or pass `collate`" in str(caught.value)


def test_array_that_would_be_broadcast_is_not() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 4\)"):
        stack(np.zeros((3, 4)), np.ones((1, 4)))


@pytest.mark.parametrize(
    "leaf", [None, object(), datetime.date(2024, 1, 1), SimpleNamespace(a=1), {1}]
)
def test_what_has_no_rule_is_refused_by_name(leaf: Any) -> None:
    with pytest.raises(TypeError, match=rf'leaf \["x"\]: {type(leaf).__qualname__} cannot be'):
        stack({"x": leaf}, {"x": leaf})


def test_mask_is_not_lost_in_silence() -> None:
    with pytest.raises(TypeError, match="sample 1024: a masked array is two arrays"):
        stack(np.ma.masked_array([1, 2], [True, False]))
