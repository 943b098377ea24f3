"""A nest of arrays as a nest of tensors that view the same memory.

What becomes of a leaf
    array                            a tensor over its memory, which lives as long as the tensor
    array that torch cannot view     a tensor over a copy: read-only, with negative strides, of a
                                     foreign byte order, a field of a structured array
    numpy scalar                     a tensor without dimensions
Anything else stays as it is, and so do arrays of types that torch lacks (strings, objects, dates,
records, long doubles) and of subclasses, such as masked ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqloader.adapters.frameworks import framework
from seqloader.adapters.nests import map_leaves

__all__ = ["as_tensor", "as_tensors"]

torch = framework("torch", extra="torch")


def as_tensors(batch: Any) -> Any:
    """The batch with a tensor in place of each array; containers keep their types."""
    return map_leaves(as_tensor, batch)


def as_tensor(leaf: Any) -> Any:
    """A leaf of a batch as a tensor, if it is an array or a scalar of numpy."""
    kind = type(leaf)
    if kind is np.ndarray or kind is np.memmap:
        return _viewed(leaf)
    if isinstance(leaf, np.generic):
        return _as_scalar(leaf)
    return leaf


def _viewed(array: Any) -> Any:
    if not array.flags.writeable:
        # torch has no read-only tensors: writing to one over a mapped file would end the process.
        return _copied(array)
    try:
        return torch.from_numpy(array)
    except TypeError:  # torch has no such type
        return array
    except ValueError:  # it has, and cannot view this memory
        return _copied(array)


def _copied(array: Any) -> Any:
    native = array.dtype.newbyteorder("=")
    try:
        return torch.from_numpy(np.array(array, native, order="C", subok=False))
    except TypeError:
        return array


def _as_scalar(scalar: Any) -> Any:
    try:
        return torch.as_tensor(scalar)
    except TypeError:
        return scalar
