"""What a batch consists of, leaf by leaf, so that two computations of it can be compared."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

from seqloader.samples.nest import children_of, form_of, keys_of, step

__all__ = ["Difference", "Leaf", "as_array", "differences", "leaves_of", "parts_of"]

LONGEST_NEST = 64  # elements of a list without arrays: a longer one is a leaf as a whole
DEEPEST_NEST = 20
SCALARS = (int, float, complex, str, bytes, type(None), np.generic)

Part = tuple[str, Any]  # how to get at it from the batch, as `["image"]`; and what is there


class Leaf(NamedTuple):
    """One part of a batch."""

    path: str
    kind: str  # dtype and shape of an array, the type of anything else
    nbytes: int
    digest: bytes


class Difference(NamedTuple):
    """How one leaf differs between two computations of a batch."""

    path: str
    kind: str
    elements: int  # that differ; -1 where they cannot be told one by one
    of: int


def leaves_of(batch: Any) -> tuple[Leaf, ...]:
    """Every leaf of a nest of tuple, list, mapping and dataclass, with a digest of its content."""
    return tuple(_leaf(path, as_array(part)) for path, part in parts_of(batch))


def parts_of(nest: Any, path: str = "", depth: int = DEEPEST_NEST) -> Iterator[Part]:
    """What lies in a nest, as it is."""
    steps = _steps(nest) if depth else None
    if steps is None:
        yield path, nest
    for where, part in steps or ():
        yield from parts_of(part, path + where, depth - 1)


def _steps(nest: Any) -> Iterable[Part] | None:
    form = form_of(type(nest))
    if form is None:
        return None
    long = form in ("tuple", "list") and len(nest) > LONGEST_NEST
    if long and all(isinstance(part, SCALARS) for part in nest):
        return None
    keys = keys_of(nest, form)
    children = children_of(nest, form, keys)
    return [(step(form, key), part) for key, part in zip(keys, children, strict=False)]


def as_array(part: Any) -> Any:
    """Tensors as arrays, of bytes where numpy has no such type; what refuses, as it is."""
    if isinstance(part, (np.ndarray, np.generic, type)) or not hasattr(part, "__array__"):
        return part
    try:
        if not hasattr(part, "detach"):
            return np.asarray(part)
        tensor = part.detach().cpu()
        try:
            return np.asarray(tensor)
        except TypeError:
            raw = tensor.contiguous().reshape(-1).view(sys.modules["torch"].uint8)
            return np.asarray(raw).view(f"V{tensor.element_size()}").reshape(tensor.shape)
    except Exception:
        return part


def _leaf(path: str, part: Any) -> Leaf:
    data = _content(part)
    return Leaf(path, _kind(part), len(data), blake2b(data, digest_size=16).digest())


def _kind(part: Any) -> str:
    if isinstance(part, np.ndarray):
        return f"{part.dtype} {part.shape}"
    name = type(part).__qualname__
    return f"{name} of {len(part)}" if isinstance(part, (list, tuple, set, frozenset)) else name


def _content(part: Any) -> Any:
    """Bytes that are the same for equal objects."""
    if isinstance(part, np.ndarray) and not part.dtype.hasobject:
        return np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
    for pickled in (_pickled_alike, cloudpickle.dumps):  # the second, if it contains itself
        try:
            return pickled(part)
        except Exception:
            pass
    return repr(type(part)).encode()


def _pickled_alike(part: Any) -> bytes:
    data = io.BytesIO()
    pickler = _Alike(data, protocol=5)
    pickler.fast = True
    pickler.dump(part)
    return data.getvalue()


class _Alike(cloudpickle.Pickler):  # type: ignore[misc]
    """If `fast`, pickles equal objects alike, be they one object or several, sets and tensors."""

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, (set, frozenset)):
            return type(obj).__name__, sorted(bytes(_content(part)) for part in obj)
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(obj, torch.Tensor):
            return None
        array = as_array(obj)  # a sparse one is none, but consists of such
        return (_kind(array), array.tobytes()) if isinstance(array, np.ndarray) else None


def differences(one: Iterable[Part], other: Iterable[Part]) -> tuple[Difference, ...]:
    """How the parts of two batches differ that are at the same place; none where they do not."""
    theirs = dict(other)
    found = (_difference(path, part, theirs.get(path)) for path, part in one)
    return tuple(each for each in found if each is not None)


def _difference(path: str, one: Any, other: Any) -> Difference | None:
    first, second = _leaf(path, one), _leaf(path, other)
    if first.kind != second.kind:
        return Difference(path, f"{first.kind} or {second.kind}", -1, 0)
    if first.digest == second.digest:
        return None
    if isinstance(one, np.ndarray) and not one.dtype.hasobject:
        # By their bytes: a NaN equals itself.
        rows = [np.asarray(_content(each)).reshape(one.size, -1) for each in (one, other)]
        return Difference(path, first.kind, int((rows[0] != rows[1]).any(axis=1).sum()), one.size)
    if not isinstance(one, (np.ndarray, list, tuple)):
        return Difference(path, first.kind, -1, 0)
    elements = [list(each.flat) if isinstance(each, np.ndarray) else each for each in (one, other)]
    unequal = sum(_content(a) != _content(b) for a, b in zip(*elements, strict=True))
    return Difference(path, first.kind, unequal, len(elements[0]))
