"""Arrays as one run of bytes, for states of the Sequence.

numpy by itself sends an array's memory out of band only if it is an exact `ndarray`, contiguous in
C or Fortran order and of a dtype that the buffer protocol knows. Everything else would travel
inside the pickle, copied several times: subclasses, slices with a step, transposed images,
`datetime64`, `bfloat16`.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["has_default_reduction", "rebuild_dense", "reduce_dense"]


def has_default_reduction(cls: type[np.ndarray[Any, Any]]) -> bool:
    """Whether the class leaves pickling to numpy."""
    return (
        cls.__reduce__ is np.ndarray.__reduce__
        and cls.__reduce_ex__ is np.ndarray.__reduce_ex__
        and cls.__setstate__ is np.ndarray.__setstate__
    )


def reduce_dense(array: NDArray[Any], cls: type[NDArray[Any]]) -> tuple[Any, ...]:
    """Reduce to a call of `rebuild_dense`, the memory as a `PickleBuffer`. Not for object dtypes.

    Strides are kept where the elements fill their memory in any order of the axes; else the array
    is copied once, as pickling it would.
    """
    plain = array.view(np.ndarray)
    order = sorted(range(plain.ndim), key=lambda axis: -abs(plain.strides[axis]))
    if not plain.transpose(order).flags.c_contiguous:
        plain = plain.copy(order="C")
        plain.flags.writeable = array.flags.writeable
        order = list(range(plain.ndim))
    memory = plain.transpose(order).reshape(-1).view(np.uint8)
    return rebuild_dense, (
        cls,
        plain.dtype,
        plain.shape,
        plain.strides,
        pickle.PickleBuffer(memory.data),
    )


def rebuild_dense(
    cls: type[NDArray[Any]],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    memory: Any,
) -> NDArray[Any]:
    """An array over `memory`, writable if that is."""
    # As unpickling does it: the subclass's `__array_finalize__` runs, its `__new__` does not.
    return np.ndarray.__new__(cls, shape, dtype, memory, 0, strides)
