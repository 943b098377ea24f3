"""Numbers for objects that must be one object in each process: given where one is first sent, and
taken over where it is rebuilt."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from seqloader.executors.process.wire.definitions import script

__all__ = ["came_here", "enter", "is_to_be_filled", "known", "number_of", "take_number"]


class _Entry(NamedTuple):
    number: str
    came: bool
    refer: Callable[[], Any]
    """The object, as long as it lives."""


# By id and not by equality: a metaclass may define another one.
_by_id: dict[int, _Entry] = {}
_by_number: dict[str, _Entry] = {}
_empty: set[str] = set()
"""Numbers of functions and classes that were made here, but have no attributes yet."""


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
    # Random, so that no two processes give the same, forked ones included.
    return number_of(obj) or _note(obj, os.urandom(12).hex(), came=False)


def known(number: str) -> Any:
    """The object that has the number here; None: there is none."""
    entry = _by_number.get(number)
    return None if entry is None else entry.refer()


def enter(number: str, name: str, obj: object, *, empty: bool = False) -> None:
    """Note what was rebuilt under the number of its original, and bind it to its name, if it has
    one in the script. `empty`: its attributes are still to come."""
    _note(obj, number, came=True)
    if empty:
        _empty.add(number)
    script.bind(name, obj)


def is_to_be_filled(obj: object) -> bool:
    """Whether a function or class takes the attributes that have come for it: one that was there
    before does so with a new state only, and the original never."""
    number = number_of(obj)
    if number in _empty:
        _empty.discard(number)
        return True
    return not number or (script.replaces() and came_here(obj))


def _note(obj: object, number: str, *, came: bool) -> str:
    refer: Callable[[], Any]
    try:
        refer = weakref.ref(obj, functools.partial(_forget, id(obj), number))
    except TypeError:  # no weak reference can be had: it is kept

        def refer() -> Any:
            return obj

    mine = _by_id.setdefault(id(obj), _Entry(number, came, refer))  # another thread may be first
    _by_number[mine.number] = mine
    return mine.number


def _forget(key: int, number: str, _: object) -> None:
    """Remove an entry with its object. It runs anywhere, the garbage collector included."""
    _by_number.pop(number, None)
    entry = _by_id.get(key)
    if entry is not None and entry.number == number:
        _by_id.pop(key, None)
