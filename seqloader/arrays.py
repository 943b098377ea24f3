"""Arrays for batches: built where they are delivered from, so that they are never copied.

Inside `__getitem__` of a worker process, large arrays made here lie in memory that the consumer
sees too. Anywhere else, and for small arrays and arrays of objects, they are numpy's own. What is
done with them in between (slices, temporaries, caches, threads) works as with numpy's.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

__all__ = ["byte_bounds", "empty", "install", "is_plain", "lengths_of", "stack", "zeros"]

SMALL_BYTES: Final = 32_768
"""Below, copying costs less than keeping track of a block."""


class _Memory(Protocol):
    def hold(self, nbytes: int) -> Any:
        """Return an object with the buffer protocol and room for `nbytes`, or None."""


_memory: _Memory | None = None
"""Of the worker process that this is."""


def install(memory: _Memory | None) -> None:
    """Take arrays from a worker's memory from now on. Not for users."""
    global _memory
    _memory = memory


def empty(shape: Any, dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
    """Return an array whose contents are arbitrary, as `numpy.empty` does.

    Args:
        shape: int or tuple of ints.
        dtype: its type of elements.
    """
    array = _held(shape, dtype)
    return np.empty(shape, dtype) if array is None else array


def zeros(shape: Any, dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
    """Return an array of zeros, as `numpy.zeros` does.

    Args:
        shape: int or tuple of ints.
        dtype: its type of elements.
    """
    array = _held(shape, dtype)
    if array is None:
        return np.zeros(shape, dtype)
    hold: Any = array.base
    np.frombuffer(hold, np.uint8, array.nbytes)[:] = 0  # zero bytes are zeros of any type
    return array


def stack(arrays: Iterable[npt.ArrayLike]) -> npt.NDArray[Any]:
    """Return the arrays as the rows of a new one, as `numpy.stack` does along axis 0.

    Raises:
        ValueError: there are none, or their shapes or types differ.
    """
    rows = [np.asanyarray(array) for array in arrays]
    if not rows:
        raise ValueError("stack needs at least one array")
    first = rows[0]
    for number, row in enumerate(rows):
        if row.shape != first.shape:
            raise ValueError(
                f"element {number} has shape {row.shape}, element 0 has {first.shape}: "
                "arrays of one shape can be stacked"
            )
        if row.dtype != first.dtype:
            raise ValueError(
                f"element {number} has dtype {row.dtype}, element 0 has {first.dtype}: "
                "convert them to one dtype first (astype)"
            )
    stacked = empty((len(rows), *first.shape), first.dtype)
    for number, row in enumerate(rows):
        stacked[number] = row
    return stacked


def _held(shape: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any] | None:
    """An array in the worker's memory; None where numpy's own is wanted, or what it would raise."""
    if _memory is None:
        return None
    kind = np.dtype(dtype)
    try:
        lengths = lengths_of(shape)
    except TypeError:
        return None
    nbytes = kind.itemsize * math.prod(lengths)
    if nbytes < SMALL_BYTES or min(lengths, default=0) < 0 or not is_plain(kind):
        return None
    hold = _memory.hold(nbytes)
    return None if hold is None else np.ndarray(lengths, kind, hold)


def lengths_of(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple; an integer is one of one axis."""
    try:
        return (operator.index(shape),)
    except TypeError:
        return tuple(map(operator.index, shape))


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether its elements are bytes and no references."""
    return not dtype.hasobject and dtype.char != "T"


def byte_bounds(array: npt.NDArray[Any]) -> tuple[int, int]:
    """The lowest address of an array's elements, and the first after them. Not for empty ones."""
    low = high = int(array.__array_interface__["data"][0])
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high + array.itemsize
