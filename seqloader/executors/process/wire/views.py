"""Arrays as views of memory: of a run of bytes of their own, of one that several share, of a file.

numpy by itself sends an array's memory out of band only if it is an exact `ndarray`, contiguous in
C or Fortran order and of a dtype that the buffer protocol knows. Everything else would travel
inside the pickle, copied several times: subclasses, slices with a step, transposed images,
`datetime64`, `bfloat16`. And it forgets strides, the read-only flag, and what a subclass's objects
have beside their elements.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from seqloader.arrays import byte_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Region",
    "address_of",
    "attributes_of",
    "extent_of",
    "has_default_reduction",
    "is_worth_overlapping",
    "rebuild_view",
    "reduce_dense",
    "reduce_view",
    "with_attributes",
]

_OVERLAP_BYTES: Final = 1 << 20
_OVERLAP_TIMES: Final = 8
"""A batch's array whose elements overlap arrives as such where a copy would take more than both:
more bytes, and so many times its memory. Below, consumers get an array that they may write to."""


class _Memory(Protocol):
    """What array elements lie in, known to the receiver: it loads as something with a buffer."""

    address: int


class Region:
    """A range of memory that arrays view. In a pickle it is a buffer, once."""

    def __init__(self, address: int, nbytes: int, arrays: list[NDArray[Any]]) -> None:
        self.address = address
        self.nbytes = nbytes
        self._arrays = arrays
        """Keep the memory alive."""
        is_writeable = any(array.flags.writeable for array in arrays)
        self.__array_interface__ = {
            "version": 3,
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, not is_writeable),
        }

    def buffer(self) -> pickle.PickleBuffer:
        """Its bytes."""
        return pickle.PickleBuffer(np.asarray(self).data)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild_region, (self.buffer(),)


def rebuild_region(memory: Any) -> NDArray[np.uint8]:
    """The bytes of a region, for `rebuild_view` to lay arrays over."""
    return np.frombuffer(memory, np.uint8)


def reduce_view(array: NDArray[Any], memory: _Memory) -> tuple[Any, ...]:
    """Reduce an array that lies in that memory."""
    return _reduced(memory, memory.address, array, type(array))


def _reduced(
    memory: object, address: int, array: NDArray[Any], cls: type[NDArray[Any]]
) -> tuple[Any, ...]:
    start = address_of(array) - address
    writeable = array.flags.writeable
    return rebuild_view, (memory, cls, array.dtype, array.shape, array.strides, start, writeable)


def rebuild_view(
    whole: Any,
    cls: type[NDArray[Any]],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    start: int,
    writeable: bool,
) -> NDArray[Any]:
    """The array whose first element is byte `start` of the memory."""
    # As unpickling does it: the subclass's `__array_finalize__` runs, its `__new__` does not.
    array = np.ndarray.__new__(cls, shape, dtype, whole, start, strides)
    if isinstance(array, np.memmap):  # what `__array_finalize__` could not see
        for name in ("_mmap", "filename", "offset", "mode"):
            setattr(array, name, getattr(whole, name))
    if not writeable:
        array.flags.writeable = False
    return array


def reduce_dense(array: NDArray[Any], cls: type[NDArray[Any]]) -> tuple[Any, ...]:
    """Reduce an array (not of objects) to a view of memory of its own.

    Strides are kept where the elements fill their memory, in any order of the axes and in any
    direction, or overlap in it; else the array is copied once, as pickling it would.
    """
    plain = array.view(np.ndarray)
    low = high = address_of(plain)
    if plain.nbytes:
        low, high = byte_bounds(plain)
    if high - low > plain.nbytes:
        plain = plain.copy(order="C")
        plain.flags.writeable = array.flags.writeable
        low, high = byte_bounds(plain)
    return _reduced(Region(low, high - low, [plain]).buffer(), low, plain, cls)


def extent_of(array: NDArray[Any]) -> int:
    """Bytes from the first of its elements in memory to the end of the last."""
    low, high = byte_bounds(array)
    return high - low


def address_of(array: NDArray[Any]) -> int:
    """Of its first element."""
    return int(array.__array_interface__["data"][0])


def is_worth_overlapping(nbytes: int, extent: int) -> bool:
    """Whether a batch's array of overlapping elements is too large to be copied element by element.

    Args:
        nbytes: of a copy.
        extent: bytes of memory that its elements lie in.
    """
    return nbytes > _OVERLAP_BYTES and nbytes > _OVERLAP_TIMES * extent


def has_default_reduction(cls: type[np.ndarray[Any, Any]]) -> bool:
    """Whether the class leaves pickling to numpy."""
    return (
        cls.__reduce__ is np.ndarray.__reduce__
        and cls.__reduce_ex__ is np.ndarray.__reduce_ex__
        and cls.__setstate__ is np.ndarray.__setstate__
    )


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
