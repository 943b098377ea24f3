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

import copy
from collections.abc import MutableMapping
from typing import Any

import numpy as np

from seqloader.adapters.frameworks import framework
from seqloader.samples.nest import children_of, form_of, keys_of, rebuilt

__all__ = ["as_tensors"]

torch = framework("torch", extra="torch")


def as_tensors(batch: Any) -> Any:
    """The batch with a tensor in place of each array.

    Tuples, lists, mappings, named tuples and dataclasses keep their types. No class of theirs is
    called: a dataclass is copied, and its fields are set.
    """
    # What nearly every batch consists of is told by its exact type: `form_of` takes 3 us a node.
    kind = type(batch)
    if kind is np.ndarray:
        return _as_tensor(batch)
    if kind is tuple:
        return tuple([as_tensors(child) for child in batch])
    if kind is dict:
        return {key: as_tensors(child) for key, child in batch.items()}
    if kind is list:
        return [as_tensors(child) for child in batch]
    if kind in _LEAVES:
        return batch
    return _other(batch, kind)


_LEAVES = frozenset({torch.Tensor, str, bytes, int, float, bool, type(None)})


def _other(node: Any, kind: type) -> Any:
    if kind is np.memmap:
        return _as_tensor(node)
    if isinstance(node, np.generic):
        return _as_scalar(node)
    if isinstance(node, MutableMapping):
        made = copy.copy(node)
        for key in node:
            made[key] = as_tensors(node[key])
        return made
    form = form_of(kind)
    if form is None or isinstance(node, type):
        return node
    keys = keys_of(node, form)
    return rebuilt(node, form, keys, [as_tensors(child) for child in children_of(node, form, keys)])


def _as_tensor(array: Any) -> Any:
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
