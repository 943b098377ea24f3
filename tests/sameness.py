"""Whether what arrived is what was sent: equal, and of exactly the same types all the way down."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import numpy as np

__all__ = ["assert_same"]


def assert_same(found: Any, sent: Any) -> None:
    assert type(found) is type(sent)
    if isinstance(sent, np.ma.MaskedArray):
        assert_same(np.ma.getmaskarray(found), np.ma.getmaskarray(sent))
        assert_same(np.asarray(found), np.asarray(sent))  # what is masked, too
    elif isinstance(sent, np.ndarray):
        _assert_same_array(found, sent)
    elif isinstance(sent, dict):
        assert list(found) == list(sent)
        assert [type(key) for key in found] == [type(key) for key in sent]
        for key in sent:
            assert_same(found[key], sent[key])
        assert getattr(found, "__dict__", None) == getattr(sent, "__dict__", None)
        assert getattr(found, "default_factory", 0) == getattr(sent, "default_factory", 0)
    elif isinstance(sent, (list, tuple, deque)):
        assert len(found) == len(sent)
        assert getattr(found, "maxlen", 0) == getattr(sent, "maxlen", 0)
        for one, other in zip(found, sent, strict=True):
            assert_same(one, other)
    elif dataclasses.is_dataclass(sent) and not isinstance(sent, type):
        assert getattr(found, "__dict__", {}).keys() == getattr(sent, "__dict__", {}).keys()
        for field in dataclasses.fields(sent):
            assert_same(getattr(found, field.name), getattr(sent, field.name))
    else:
        assert found == sent or found is sent or (found != found and sent != sent)


def _assert_same_array(found: Any, sent: Any) -> None:
    assert found.shape == sent.shape
    if sent.dtype.kind in "mM" and found.dtype != sent.dtype:
        # numpy's own pickles of foreign-endian times come back native, with equal values
        assert found.dtype == sent.dtype.newbyteorder("=")
        found = found.astype(sent.dtype)
    assert found.dtype == sent.dtype
    assert (found.dtype.metadata or {}) == (sent.dtype.metadata or {})
    assert found.dtype.isalignedstruct == sent.dtype.isalignedstruct
    if sent.dtype.names:  # between its fields there may be anything
        for name in sent.dtype.names:
            assert_same(np.asarray(found)[name], np.asarray(sent)[name])
    elif sent.dtype.hasobject:
        for one, other in zip(found.flat, sent.flat, strict=True):
            assert_same(one, other)
    elif sent.dtype.char == "T":
        assert found.tolist() == sent.tolist()
    else:
        assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(sent).tobytes()
