"""What a batch consists of, leaf by leaf, so that two computations of it can be compared.

Worker processes import this: it brings numpy, and the rest where it is used.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Difference", "Leaf", "difference", "leaves_of", "parts_of"]

LONGEST_NEST = 64
"""Elements of a list without arrays: a longer one is a leaf as a whole."""
DIGEST_BYTES = 16


class Leaf(NamedTuple):
    """One part of a batch."""

    path: str
    """How to get at it from the batch: `["image"]`, `[1].mask`; empty for the batch itself."""
    kind: str
    """Dtype and shape of an array, the type of anything else."""
    nbytes: int
    digest: bytes


class Difference(NamedTuple):
    """How one leaf differs between two computations of a batch."""

    path: str
    kind: str
    elements: int
    """How many elements differ; -1 where they cannot be told one by one."""
    of: int


def leaves_of(batch: Any) -> tuple[Leaf, ...]:
    """Every leaf of a nest of tuple, list, dict and dataclass, with a digest of its content."""
    return tuple(_leaf(path, part) for path, part in parts_of(batch))


def parts_of(nest: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nest with its path; what is like an array comes as one."""
    if isinstance(nest, dict):
        for key, value in nest.items():
            yield from parts_of(value, f"{path}[{_key(key)}]")
    elif isinstance(nest, tuple) and hasattr(nest, "_fields"):
        for name, value in zip(nest._fields, nest, strict=False):
            yield from parts_of(value, f"{path}.{name}")
    elif isinstance(nest, (list, tuple)) and _is_nest(nest):
        for number, value in enumerate(nest):
            yield from parts_of(value, f"{path}[{number}]")
    elif dataclasses.is_dataclass(nest) and not isinstance(nest, type):
        for field in dataclasses.fields(nest):
            yield from parts_of(getattr(nest, field.name, None), f"{path}.{field.name}")
    else:
        yield path, _as_array(nest)


def _key(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else repr(key)[:80]


def _is_nest(nest: list[Any] | tuple[Any, ...]) -> bool:
    scalars = (int, float, complex, str, bytes, type(None), np.generic)
    return len(nest) <= LONGEST_NEST or not all(isinstance(part, scalars) for part in nest)


def _as_array(part: Any) -> Any:
    """Tensors on the CPU as arrays; everything else, and what refuses, as it is."""
    if isinstance(part, (np.ndarray, np.generic)) or not hasattr(part, "__array__"):
        return part
    try:
        detach = getattr(part, "detach", None)
        return np.asarray(part if detach is None else detach().cpu())
    except Exception:
        return part


def _leaf(path: str, part: Any) -> Leaf:
    if isinstance(part, np.ndarray) and not part.dtype.hasobject:
        kind = f"{part.dtype} {_shape(part.shape)}"
        return Leaf(path, kind, part.nbytes, _digest(np.ascontiguousarray(part)))
    data = _content(part)
    return Leaf(path, _kind(part), len(data), _digest(data))


def _kind(part: Any) -> str:
    if isinstance(part, np.ndarray):
        return f"object {_shape(part.shape)}"
    name = type(part).__qualname__
    return f"{name} of {len(part)}" if isinstance(part, (list, tuple, set, frozenset)) else name


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _content(part: Any) -> bytes:
    """Bytes that are the same for equal objects; a set has no order, so none is compared."""
    if isinstance(part, (set, frozenset)):
        return b"".join(sorted(map(_content, part)))
    import cloudpickle

    try:
        return _bytes_of_tensor(part) or _without_memo(part)
    except Exception:
        try:
            data: bytes = cloudpickle.dumps(part, protocol=5)
        except Exception:
            return repr(type(part)).encode()  # such a batch cannot be sent either: said elsewhere
        return data


def _without_memo(part: Any) -> bytes:
    """Pickled, equal objects alike, whether they are one object or several."""
    import io

    import cloudpickle

    buffer = io.BytesIO()
    pickler = cloudpickle.Pickler(buffer, protocol=5)
    pickler.fast = True
    pickler.dump(part)
    return buffer.getvalue()


def _bytes_of_tensor(part: Any) -> bytes | None:
    """Of a dense tensor of torch's that numpy has no type for: its pickle names its address."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(part, torch.Tensor) or part.layout != torch.strided:
        return None
    raw = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    described = repr((str(part.dtype), tuple(part.shape)))
    return described.encode() + bytes(raw.numpy())


def _digest(data: Any) -> bytes:
    from hashlib import blake2b

    raw: Any = data.reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else data
    return blake2b(raw, digest_size=DIGEST_BYTES).digest()


# --- two computations -----------------------------------------------------------------------


def difference(path: str, one: Any, other: Any) -> Difference | None:
    """How a leaf differs between two batches; None where it does not."""
    first, second = _leaf(path, one), _leaf(path, other)
    if first.kind != second.kind:
        return Difference(path, f"{first.kind} or {second.kind}", -1, 0)
    if first.digest == second.digest:
        return None
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return Difference(path, first.kind, _unequal_elements(one, other), one.size)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        unequal = sum(_content(a) != _content(b) for a, b in zip(one, other, strict=True))
        return Difference(path, first.kind, unequal, len(one))
    return Difference(path, first.kind, -1, 0)


def _unequal_elements(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> int:
    """Elements whose bytes differ, so that a NaN equals itself."""
    if one.dtype.hasobject:
        pairs = zip(one.flat, other.flat, strict=True)
        return sum(_content(a) != _content(b) for a, b in pairs)
    width = max(1, one.dtype.itemsize)
    rows = [
        np.ascontiguousarray(each).reshape(-1).view(np.uint8).reshape(-1, width)
        for each in (one, other)
    ]
    return int((rows[0] != rows[1]).any(axis=1).sum())
