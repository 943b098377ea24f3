"""Nests: tuples, lists, mappings and dataclasses, and what lies in them.

What is put together again has the type it was taken from, but that any mapping becomes a dict, and
a tuple of a type without named fields a plain one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["children_of", "form_of", "keys_of", "map_nest", "rebuilt", "step"]


def form_of(kind: type) -> str | None:
    """What kind of nest objects of a class are: "tuple", "list", "mapping", "dataclass"; or None.

    A tuple with named fields is "named tuple".
    """
    if issubclass(kind, tuple):
        return "named tuple" if hasattr(kind, "_fields") else "tuple"
    if issubclass(kind, list):
        return "list"
    if issubclass(kind, Mapping):
        return "mapping"
    return "dataclass" if dataclasses.is_dataclass(kind) else None


def keys_of(node: Any, form: str) -> list[Any]:
    """The names, keys or numbers of what lies in a nest."""
    if form == "mapping":
        return list(node)
    if form == "dataclass":
        return [field.name for field in dataclasses.fields(node)]
    return list(node._fields) if form == "named tuple" else list(range(len(node)))


def children_of(node: Any, form: str, keys: list[Any]) -> Iterable[Any]:
    """What lies in a nest, in the order of `keys`."""
    if form == "mapping":
        return [node[key] for key in keys]
    if form == "dataclass":
        return [getattr(node, key, None) for key in keys]  # one that was never set is None
    children: Iterable[Any] = node
    return children


def rebuilt(node: Any, form: str, keys: list[Any], children: list[Any]) -> Any:
    """A nest like `node`, with other children. `node` stays as it is."""
    if form == "mapping":
        return dict(zip(keys, children, strict=True))
    if form == "list":
        return children
    if form == "tuple":
        return tuple(children)
    if form == "named tuple":
        return type(node)._make(children)
    # Not by calling the class: its checks are for samples, and it may compute further fields.
    made = copy.copy(node)
    for key, child in zip(keys, children, strict=True):
        object.__setattr__(made, key, child)  # frozen ones too
    return made


def step(form: str, key: Any) -> str:
    """How one step into a nest is written in messages, as it would be in code."""
    if form in ("dataclass", "named tuple"):
        return f".{key}"
    return f'["{key}"]' if isinstance(key, str) else f"[{key!r}]"


def map_nest(call: Callable[[Any, str], Any], nest: Any, path: str = "") -> Any:
    """The nest with `call(leaf, path)` in place of each leaf."""
    form = form_of(type(nest))
    if form is None:
        return call(nest, path)
    keys = keys_of(nest, form)
    children = children_of(nest, form, keys)
    made = [
        map_nest(call, child, path + step(form, key))
        for key, child in zip(keys, children, strict=True)
    ]
    return rebuilt(nest, form, keys, made)
