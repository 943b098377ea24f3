"""What a script has registered where all of Python looks: reductions (`copyreg.pickle`), and its
classes with abstract ones of libraries (`collections.abc.Sequence.register`).

Neither is in a class, nor in what refers to it, and a worker has not run the script: they come
along.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import abc
import copyreg
import operator
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from seqloader.executors.process.wire.definitions import script

__all__ = ["register_with", "registered", "registered_with", "with_reductions"]


# Reductions.


def with_reductions(obj: Any) -> Any:
    """What to pickle in place of `obj`, to be `obj` in a worker that knows the script's reductions;
    `obj` itself if there are none."""
    global _without_script
    table = list(chain.from_iterable(copyreg.dispatch_table.items()))
    if len(table) == len(_without_script) and all(map(operator.is_, table, _without_script)):
        return obj  # at nearly every epoch
    found: list[Any] = [
        (kind, reduce)
        for kind, reduce in zip(table[::2], table[1::2], strict=True)
        if any(script.is_of_script(getattr(one, "__module__", None)) for one in (kind, reduce))
    ]
    if found:
        return _WithReductions(found, obj)
    _without_script = table
    return obj


_without_script: list[Any] = []
"""The kinds and reductions of Python's table when it was last looked through, if none was the
script's. Of what module they are does not change."""


class _WithReductions:
    def __init__(self, reductions: list[tuple[type, Callable[..., Any]]], obj: Any) -> None:
        self._parts = reductions, obj

    def __reduce__(self) -> Any:
        return register_reductions, self._parts


def register_reductions(reductions: list[tuple[type, Callable[..., Any]]], obj: Any) -> Any:
    """In the worker."""
    for kind, reduce in reductions:
        copyreg.pickle(kind, reduce)
    return obj


# Virtual subclasses.


def registered(cls: abc.ABCMeta) -> list[type]:
    """What was registered by `cls.register`."""
    try:
        registry = _abc._get_dump(cls)[0]
    except TypeError:  # the metaclass has not made it one
        return []
    return [one for one in (reference() for reference in registry) if one is not None]


def registered_with(cls: type) -> list[abc.ABCMeta]:
    """The abstract classes outside the script that `cls` was registered with."""
    global _known
    token = abc.get_cache_token()  # another one after each `register`
    if _known[0] != token:
        _known = (
            token,
            [
                (weakref.ref(subclass), one)
                for one in _abstract_classes()
                for subclass in registered(one)
                if script.is_of_script(getattr(subclass, "__module__", None))
            ],
        )
    return [one for reference, one in _known[1] if reference() is cls]


_known: tuple[object, list[tuple[weakref.ref[type], abc.ABCMeta]]] = None, []
"""At which state of all registries, and what they hold of the script's."""


def _abstract_classes() -> Iterator[abc.ABCMeta]:
    """Those that a worker can import, without repetition."""
    waiting: list[Any] = [
        one for one in type.__subclasses__(object) if isinstance(one, abc.ABCMeta)
    ]
    seen = set(map(id, waiting))
    while waiting:
        one = waiting.pop()
        module = getattr(one, "__module__", None)
        if not script.is_of_script(module) and script.look_up(module, one.__qualname__) is one:
            yield one
        below = [sub for sub in type.__subclasses__(one) if id(sub) not in seen]
        seen.update(map(id, below))
        waiting.extend(below)


def register_with(cls: type, abstract: list[abc.ABCMeta]) -> None:
    """In the worker."""
    for one in abstract:
        abc.ABCMeta.register(one, cls)
