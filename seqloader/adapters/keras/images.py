"""Keras' own image iterators, so that worker processes can be sent them.

`ImageDataGenerator().flow(...)`, `flow_from_directory(...)` and `flow_from_dataframe(...)` make
batches by index, and hold a lock and a generator besides, for `next(iterator)`. Neither can be
pickled, and no worker needs them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["make_sendable"]


def make_sendable(source: Any) -> None:
    """Have the lock and the generator of an iterator, or of those that a Sequence holds in its
    attributes, made anew wherever it is sent. Here they go on as they were."""
    for iterator in (source, *getattr(source, "__dict__", {}).values()):
        if not callable(getattr(type(iterator), "_flow_index", None)):
            continue
        parts = iterator.__dict__
        if isinstance(parts.get("lock"), type(threading.Lock())):
            iterator.lock = _Lock(iterator.lock)
        if hasattr(parts.get("index_generator"), "gi_frame"):
            iterator.index_generator = _Indices(iterator, iterator.index_generator)


class _Lock:
    """A lock; another one wherever it is sent."""

    def __init__(self, lock: Any = None) -> None:
        self._lock: Any = threading.Lock() if lock is None else lock

    def __enter__(self) -> bool:
        return bool(self._lock.__enter__())

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    def __reduce__(self) -> Any:
        return _Lock, ()


class _Indices:
    """The indices for `next(iterator)`; from the beginning wherever it is sent."""

    def __init__(self, iterator: Any = None, indices: Iterator[Any] | None = None) -> None:
        self._iterator = iterator
        self._indices = indices

    def __iter__(self) -> _Indices:
        return self

    def __next__(self) -> Any:
        if self._indices is None:
            self._indices = self._iterator._flow_index()
        return next(self._indices)

    def __reduce__(self) -> Any:
        # As a state, which is given once the iterator exists: the two refer to each other.
        return _Indices, (), {"_iterator": self._iterator}
