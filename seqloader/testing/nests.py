"""Comparing batches that are nests of containers and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["assert_same"]


def assert_same(got: Any, expected: Any) -> None:
    """Fail unless both are the same nest: containers, dtypes, shapes, values."""
    assert type(got) is type(expected)
    if isinstance(expected, np.ndarray):
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        assert np.array_equal(got, expected)
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            assert_same(got[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for got_part, expected_part in zip(got, expected, strict=True):
            assert_same(got_part, expected_part)
    else:
        assert got == expected
