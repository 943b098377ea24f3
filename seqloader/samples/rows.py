"""Rows of an array gathered into a batch, as a whole and not sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.sequence.interface import offered

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from seqloader.samples.order import Indices

__all__ = ["holds_rows", "is_stored", "read_rows", "take_rows"]


def take_rows(
    array: NDArray[Any], indices: Indices, make: Callable[..., NDArray[Any]]
) -> NDArray[Any]:
    """Return `array[indices]` in an array made by `make(shape, dtype)`. Each row is copied once.

    Args:
        array: (samples, ...) of any dtype; may be a memmap.
        indices: Which rows; each is there.
    """
    plain = np.asarray(array)  # of a memmap, every view takes longer
    rows = make((len(indices), *plain.shape[1:]), plain.dtype)
    if isinstance(indices, range):
        rows[...] = plain[indices.start : indices.stop]
    elif plain.flags.c_contiguous and plain.flags.aligned and plain.dtype.isnative:
        # With mode="raise" numpy would gather into an array of its own first, to leave `out`
        # untouched by what raises.
        np.take(plain, indices, axis=0, out=rows, mode="clip")
    else:  # of such an array, numpy.take would copy the whole
        rows[...] = plain[indices]
    return rows


def holds_rows(source: Any) -> bool:
    """Whether `take_rows` takes it: a numpy array of numbers and the like, not of objects."""
    return isinstance(source, np.ndarray) and not source.dtype.hasobject


def is_stored(source: Any) -> bool:
    """Whether `read_rows` reads it: it looks like an array, and is none of numpy's own.

    That is what arrays of h5py and zarr are, whose every access costs so much that rows which lie
    side by side should be read at once.
    """
    if isinstance(source, np.ndarray) or not hasattr(type(source), "__array__"):
        return False
    shape, dtype = offered(source, "shape"), offered(source, "dtype")
    return (
        isinstance(shape, tuple)
        and len(shape) > 0
        and isinstance(dtype, np.dtype)
        and not dtype.hasobject
    )


def read_rows(source: Any, indices: Indices, make: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    """As `take_rows`, of what `is_stored` says yes to. Neighbours are read as one slice."""
    rows = make((len(indices), *source.shape[1:]), source.dtype)
    if isinstance(indices, range):
        within = slice(indices.start, indices.stop)
        if hasattr(type(source), "read_direct") and rows.size:  # h5py: straight to where it belongs
            source.read_direct(rows, within)
        else:
            rows[...] = source[within]
        return rows
    order = np.argsort(indices, kind="stable")
    ascending = indices[order]
    gaps = np.flatnonzero(np.diff(ascending) != 1) + 1
    for first, last in zip([0, *gaps.tolist()], [*gaps.tolist(), len(order)], strict=True):
        begin = int(ascending[first])
        rows[order[first:last]] = source[begin : begin + last - first]
    return rows
