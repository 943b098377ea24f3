"""Arrays as one run of bytes.

numpy by itself sends an array's memory out of band only if it is an exact `ndarray`, contiguous in
C or Fortran order and of a dtype that the buffer protocol knows. Everything else would travel
inside the pickle, copied several times: subclasses, slices with a step, transposed images,
`datetime64`, `bfloat16`. And it forgets strides, the read-only flag, and what a subclass's objects
have beside their elements.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.arrays import byte_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "attributes_of",
    "has_default_reduction",
    "is_worth_overlapping",
    "rebuild_dense",
    "reduce_dense",
    "set_attributes",
    "with_attributes",
]

_OVERLAP_BYTES: Final = 1 << 20
_OVERLAP_TIMES: Final = 8
"""A batch's array whose elements overlap arrives as such where a copy would take more than both:
more bytes, and so many times its memory. Below, consumers get an array that they may write to."""


def has_default_reduction(cls: type[np.ndarray[Any, Any]]) -> bool:
    """Whether the class leaves pickling to numpy."""
    return (
        cls.__reduce__ is np.ndarray.__reduce__
        and cls.__reduce_ex__ is np.ndarray.__reduce_ex__
        and cls.__setstate__ is np.ndarray.__setstate__
    )


def is_worth_overlapping(nbytes: int, extent: int) -> bool:
    """Whether a batch's array of overlapping elements is too large to be copied element by element.

    Args:
        nbytes: of a copy.
        extent: bytes of memory that its elements lie in.
    """
    return nbytes > _OVERLAP_BYTES and nbytes > _OVERLAP_TIMES * extent


def reduce_dense(array: NDArray[Any], cls: type[NDArray[Any]]) -> tuple[Any, ...]:
    """Reduce to a call of `rebuild_dense`, the memory as a `PickleBuffer`. Not for object dtypes.

    Strides are kept where the elements fill their memory, in any order of the axes and in any
    direction, or overlap in it; else the array is copied once, as pickling it would.
    """
    plain = array.view(np.ndarray)
    low, high = byte_bounds(plain) if plain.nbytes else (0, 0)
    if high - low > plain.nbytes:
        plain = plain.copy(order="C")
        plain.flags.writeable = array.flags.writeable
        low, high = byte_bounds(plain)
    start = _address(plain) - low if plain.nbytes else 0
    memory = np.asarray(_Memory(plain, low, high - low)) if plain.nbytes else _NO_MEMORY
    return rebuild_dense, (
        cls,
        plain.dtype,
        plain.shape,
        plain.strides,
        pickle.PickleBuffer(memory.data),
        start,
    )


def rebuild_dense(
    cls: type[NDArray[Any]],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    memory: Any,
    start: int = 0,
) -> NDArray[Any]:
    """An array over `memory`, writable if that is; its first element at byte `start`."""
    # As unpickling does it: the subclass's `__array_finalize__` runs, its `__new__` does not.
    return np.ndarray.__new__(cls, shape, dtype, memory, start, strides)


def attributes_of(array: NDArray[Any]) -> dict[str, Any] | None:
    """What an array of a subclass has beside its elements. numpy's own pickle leaves it out."""
    return getattr(array, "__dict__", None) or None


def with_attributes(array: NDArray[Any], reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """A reduction that brings the attributes of a subclass's array along."""
    attributes = attributes_of(array)
    if attributes is None or isinstance(array, np.memmap):
        return reduced
    return *reduced[:2], attributes, None, None, set_attributes


def set_attributes(array: NDArray[Any], attributes: dict[str, Any]) -> None:
    """What `with_attributes` asks for."""
    array.__dict__.update(attributes)


_NO_MEMORY: Final = np.empty(0, np.uint8)


class _Memory:
    """Bytes that an array lies in, as numpy asks for them."""

    def __init__(self, array: NDArray[Any], address: int, nbytes: int) -> None:
        self._array = array
        self.__array_interface__ = {
            "version": 3,
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, not array.flags.writeable),
        }


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
