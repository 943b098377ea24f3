"""What has changed in the Sequence since a state of it was published. Pure: objects in, facts out.

Everything is judged against objects that are kept alive, never by `id()` alone: a new object may
have the address of one that is gone.
"""

from __future__ import annotations

import copyreg
import datetime
import operator
import pathlib
import pickle
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqloader.sequence import wrapped_by

__all__ = [
    "Bindings",
    "Kept",
    "bindings",
    "is_flat",
    "is_large",
    "same_bindings",
    "same_bytes",
]

LARGE_LENGTH: Final = 1000
"""Elements from which a flat container is sent and compared by itself."""
LARGE_BYTES: Final = 1 << 16
"""The same for `bytes` and `str`, in bytes and characters."""

_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_TEXTS: Final = frozenset({bytes, str})
_LARGE_TYPES: Final = _CONTAINERS | _TEXTS

_IMMUTABLE: Final[frozenset[type]] = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
        pathlib.PosixPath, pathlib.PurePosixPath,
        *(kind for kind in set(np.sctypeDict.values()) if kind not in (np.void, np.object_)),
    }
)  # fmt: skip
"""Exact types whose objects hold nothing that can change."""

_FLAT: Final = _IMMUTABLE | {tuple}

_DEPTH: Final = 4
"""How deep tuples may lie in tuples in a flat container, and objects that are wrapped in others."""

_MISSING: Final = object()


Bindings = dict[str, Any]
"""The attributes of an object, by name."""


def bindings(sequence: Any) -> Bindings:
    """The attributes as they are bound now, those in `__slots__` included.

    Those of the objects that the Sequence wraps (`wrapped_by`) too: `dataset.set_epoch(3)` binds an
    attribute there.
    """
    found = _own_bindings(sequence)
    seen = {id(sequence)}
    level = [("", sequence)]
    for _ in range(_DEPTH):
        level = [
            (f"{path}.{name}", part)
            for path, whole in level
            for name, part in wrapped_by(whole)
            if id(part) not in seen
        ]
        if not level:
            break
        for path, part in level:
            seen.add(id(part))
            found[path] = part
            found.update((f"{path}.{name}", value) for name, value in _own_bindings(part).items())
    return found


def _own_bindings(obj: Any) -> Bindings:
    found: Bindings = {}
    for name in copyreg._slotnames(type(obj)):  # type: ignore[attr-defined]
        found[name] = _in_slot(obj, name)
    fields = getattr(obj, "__dict__", None)
    if isinstance(fields, dict):  # a stub answers to any name
        found.update(fields)
    return found


def _in_slot(sequence: Any, name: str) -> Any:
    # Not getattr() on the object, which asks a `__getattr__` where the slot is empty.
    try:
        return getattr(type(sequence), name).__get__(sequence)
    except AttributeError:
        return _MISSING


def same_bindings(before: Bindings, now: Bindings) -> bool:
    """Whether no attribute was bound anew, added or removed."""
    return before.keys() == now.keys() and all(value is before[name] for name, value in now.items())


def is_large(value: Any) -> bool:
    """Whether it is of a type and size that may be worth sending by itself. Called very often."""
    kind = type(value)
    return kind in _LARGE_TYPES and len(value) >= (
        LARGE_LENGTH if kind in _CONTAINERS else LARGE_BYTES
    )


def is_flat(value: Any) -> bool:
    """Whether nothing below the value itself can change: immutables, or tuples of such."""
    if type(value) in _TEXTS:
        return True
    level: Any = list(chain(value, value.values())) if type(value) is dict else value
    if type(next(iter(level), None)) not in _FLAT:
        return False  # the common case, without a look at a million elements
    for _ in range(_DEPTH):
        kinds = set(map(type, level))
        if kinds <= _IMMUTABLE:
            return True
        if not kinds <= _FLAT:
            return False
        level = list(chain.from_iterable(x for x in level if type(x) is tuple))
    return False


class Kept:
    """What a flat container held when it was sent.

    The container itself is kept as well, so that its id stays its own.
    """

    __slots__ = ("container", "elements")

    def __init__(self, container: Any) -> None:
        self.container = container
        kind = type(container)
        if kind is list or kind is dict:
            self.elements = container.copy()
        elif kind is set:
            self.elements = tuple(container)
        else:
            self.elements = container

    def same(self, container: Any) -> bool:
        """Whether `container` holds the very same objects in the same order."""
        if type(container) is not type(self.container):
            return False
        if type(container) in _TEXTS:
            # Reductions (of masked arrays, for one) make a new object of the same bytes each time.
            return bool(container is self.elements or container == self.elements)
        if len(container) != len(self.elements):
            return False
        if type(container) is dict:
            return all(map(operator.is_, self.elements, container)) and all(
                map(operator.is_, self.elements.values(), container.values())
            )
        return all(map(operator.is_, self.elements, container))

    def pickled(self) -> bytes:
        """The container as it was kept."""
        elements = set(self.elements) if type(self.container) is set else self.elements
        return pickle.dumps(elements, protocol=5)


def same_bytes(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two runs of bytes are equal. Makes a temporary an eighth of their size at least."""
    if one.size == other.size and one.size % 8 == 0:  # eight times fewer comparisons
        return bool(np.array_equal(one.view(np.uint64), other.view(np.uint64)))
    return bool(np.array_equal(one, other))
