"""What we rely on of numpy (docs/architecture/beyond-promises.md): the behaviour alone."""

from __future__ import annotations

import ctypes
import gc
import weakref
from typing import Any

import numpy as np
import pytest


def test_a_ufunc_refers_to_the_function_that_it_was_made_of():
    def function(x: Any) -> Any:
        return x

    ufunc = np.frompyfunc(function, 1, 1)

    assert [part for part in gc.get_referents(ufunc) if callable(part)] == [function]


def test_a_memmap_has_its_mapping(tmp_path):
    array: Any = np.memmap(tmp_path / "numbers", np.uint8, "w+", shape=(4096,))

    assert len(array._mmap) == 4096
    assert np.asarray(array).base is array


@pytest.mark.parametrize("kind", ["f4", "u1", "M8[s]", "S5", "V8", "i4,f8"])
def test_dtypes_that_are_whole_are_legacy(kind):
    assert getattr(type(np.dtype(kind)), "_legacy", True)


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 1 has no such dtype")
def test_dtypes_that_refer_to_memory_elsewhere_are_not_legacy():
    strings: Any = np.dtypes
    assert not strings.StringDType._legacy


def test_views_end_at_the_object_under_them_and_keep_it_alive():
    class Hold(ctypes.c_char * 64):  # type: ignore[misc]
        pass

    hold = Hold()
    alive = weakref.ref(hold)
    array = np.frombuffer(hold, np.uint8)
    views = [array[1:], array[1:][1:].reshape(2, -1), array.view(np.uint16), memoryview(array)]
    ends: set[int] = set()
    for view in views:
        end: Any = view
        while isinstance(end, (np.ndarray, memoryview)):
            end = end.base if isinstance(end, np.ndarray) else end.obj
        ends.add(id(end))
    assert ends == {id(hold)}

    del hold, array, end, view
    while views:
        gc.collect()
        assert alive() is not None
        views.pop()
    gc.collect()

    assert alive() is None


def test_the_global_generator_of_numpy_has_that_name():
    mtrand: Any = np.random.mtrand

    assert np.random.random.__self__ is mtrand._rand
    assert isinstance(mtrand._rand, np.random.RandomState)


def test_a_random_state_has_its_bit_generator():
    bits = np.random.PCG64(1)
    state: Any = np.random.RandomState(bits)

    assert state._bit_generator is bits
