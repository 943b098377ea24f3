"""What has changed in the Sequence since a state of it was published. Pure: objects in, facts out.

Everything is judged against objects that are kept alive, never by `id()` alone: a new object may
have the address of one that is gone.
"""

from __future__ import annotations

import datetime
import operator
import pickle
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "LARGE_FROM",
    "Kept",
    "is_flat",
    "same_bytes",
]

LARGE_LENGTH: Final = 1000
"""Elements from which a flat container is sent and compared by itself."""
LARGE_BYTES: Final = 1 << 16
"""The same for `bytes` and `str`, in bytes and characters."""

_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_TEXTS: Final = frozenset({bytes, str})
LARGE_FROM: Final[Mapping[type, int]] = {
    **dict.fromkeys(_CONTAINERS, LARGE_LENGTH),
    **dict.fromkeys(_TEXTS, LARGE_BYTES),
}
"""Exact type -> length from which an object of it may be worth sending by itself."""

_IMMUTABLE: Final[frozenset[type]] = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
        *(kind for kind in set(np.sctypeDict.values()) if kind not in (np.void, np.object_)),
    }
)  # fmt: skip
"""Exact types whose objects hold nothing that can change; beside those of paths."""
_PATHS: Final = ("PosixPath", "PurePosixPath")

_DEPTH: Final = 4
"""How deep tuples may lie in tuples in a flat container."""


def is_flat(value: Any) -> bool:
    """Whether nothing below the value itself can change: immutables, or tuples of such."""
    if type(value) in _TEXTS:
        return True
    level: Any = list(chain(value, value.values())) if type(value) is dict else value
    immutable = _immutable_types()
    flat = immutable | {tuple}
    if type(next(iter(level), None)) not in flat:
        return False  # the common case, without a look at a million elements
    for _ in range(_DEPTH):
        kinds = set(map(type, level))
        if kinds <= immutable:
            return True
        if not kinds <= flat:
            return False
        level = list(chain.from_iterable(x for x in level if type(x) is tuple))
    return False


def _immutable_types() -> frozenset[Any]:
    # Who has not imported `pathlib`, which takes long, holds no path.
    pathlib = sys.modules.get("pathlib")
    return _IMMUTABLE | {getattr(pathlib, name, None) for name in _PATHS}


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
