"""Numbers for objects that must be one object in each process: given where one is first sent, and
taken over where it is rebuilt."""

from __future__ import annotations

import os
import weakref
from typing import Any

__all__ = ["came_here", "known", "number_of", "remember", "take_number"]


class _Entry:
    __slots__ = ("came", "number", "refer")

    def __init__(self, obj: Any, number: str, *, came: bool) -> None:
        self.number = number
        self.came = came
        try:
            self.refer: Any = weakref.ref(obj, _Forget(id(obj), number))
        except TypeError:  # no weak reference can be had: it is kept
            self.refer = lambda: obj


class _Forget:
    """Removes an entry with its object. It runs anywhere, the garbage collector included."""

    __slots__ = ("key", "number")

    def __init__(self, key: int, number: str) -> None:
        self.key = key
        self.number = number

    def __call__(self, reference: object) -> None:
        _by_number.pop(self.number, None)
        entry = _by_id.get(self.key)
        if entry is not None and entry.number == self.number:
            _by_id.pop(self.key, None)


# By id and not by equality: a metaclass may define another one.
_by_id: dict[int, _Entry] = {}
_by_number: dict[str, _Entry] = {}


def number_of(obj: object) -> str:
    """The object's number; empty: it has none."""
    entry = _by_id.get(id(obj))
    return entry.number if entry is not None and entry.refer() is obj else ""


def came_here(obj: object) -> bool:
    """Whether the object was rebuilt here: its number is that of an object elsewhere."""
    entry = _by_id.get(id(obj))
    return entry is not None and entry.came and entry.refer() is obj


def take_number(obj: object) -> str:
    """The object's number, a new one if it has none."""
    number = number_of(obj)
    if number:
        return number
    # Random, so that no two processes give the same, forked ones included.
    return _enter(obj, os.urandom(12).hex(), came=False)


def remember(number: str, obj: object) -> None:
    """Note an object that was rebuilt under the number of its original."""
    _enter(obj, number, came=True)


def known(number: str) -> Any:
    """The object that has the number here; None: there is none."""
    entry = _by_number.get(number)
    return None if entry is None else entry.refer()


def _enter(obj: object, number: str, *, came: bool) -> str:
    entry = _Entry(obj, number, came=came)
    mine = _by_id.setdefault(id(obj), entry)  # another thread may have been first
    _by_number[mine.number] = mine
    return mine.number
