"""Members of enums by value, as what they consist of.

A class refers to its members, and they to it: a member is made before its class is whole. So is one
that a flag has by its value only (several flags together), and that the class would be asked for.
"""

from __future__ import annotations

import copyreg
import enum
import weakref
from typing import Any

from seqloader.executors.process.wire.definitions import numbers
from seqloader.executors.process.wire.definitions.builtin import builtin_method

__all__ = ["keep_unnamed", "named_only", "reduce_member"]


def named_only(cls: enum.EnumMeta, own: dict[str, Any]) -> dict[str, Any]:
    """Without the members that a flag makes when they are asked for."""
    if "_value2member_map_" in own:
        members = {id(member) for member in cls._member_map_.values()}
        values = own["_value2member_map_"].items()
        own["_value2member_map_"] = {
            value: member for value, member in values if id(member) in members
        }
    return own


def reduce_member(member: enum.Enum) -> Any:
    """A member of an enum that travels by value, as what it consists of."""
    cls = type(member)
    name = getattr(member, "_name_", None)
    key = name, None
    if cls._member_map_.get(name) is not member:  # type: ignore[arg-type]
        by_value = cls._value2member_map_ if isinstance(member, enum.Flag) else {}
        if by_value.get(member._value_) is not member:
            return NotImplemented  # not found at all
        key = None, member._value_  # several of a flag's, or none
    attributes = dict(vars(member))
    attributes.pop("_inverted_", None)  # a flag keeps what `~` gave
    arguments, contents = _data_of(member, builtin_method(cls, "__new__").__self__)  # type: ignore[attr-defined]
    return make_member, (cls, *key, arguments), (attributes, contents), None, None, fill_member


def _data_of(member: Any, kind: type) -> tuple[tuple[Any, ...], Any]:
    """Of the built-in part of a member: the arguments that make its int, str or date; or what fills
    its list, dict or set."""
    if kind is object:
        return (), None
    if "__getnewargs__" in kind.__dict__:
        return kind.__getnewargs__(member), None  # type: ignore[attr-defined]
    reduced: Any = kind.__reduce_ex__(member, 4)  # type: ignore[call-arg]
    made_anew = reduced[0] is copyreg.__newobj__  # type: ignore[attr-defined]
    arguments = tuple(reduced[1][1:] if made_anew else reduced[1])
    if not hasattr(kind, "clear"):  # it cannot change once it is made
        return arguments, None
    elements, items = (*reduced, None, None, None)[3:5]
    return (), (arguments, list(elements or ()), dict(items or ()))


_Key = tuple[str | None, Any]
_members: weakref.WeakKeyDictionary[type, dict[_Key, Any]] = weakref.WeakKeyDictionary()
"""By name; those of a flag that have none of their own, by value."""


def make_member(cls: type[enum.Enum], name: str | None, value: Any, arguments: Any) -> Any:
    """A member, one for each name or value, without its attributes."""
    if not numbers.came_here(cls):
        return cls(value) if name is None else cls._member_map_[name]
    members = _members.setdefault(cls, {})
    if (name, value) not in members:
        made_here = cls.__dict__.get("_value2member_map_", {}) if name is None else {}
        if value in made_here:
            return made_here[value]
        members[name, value] = builtin_method(cls, "__new__")(cls, *arguments)
        keep_unnamed(cls)
    return members[name, value]


def fill_member(member: enum.Enum, state: tuple[dict[str, Any], Any]) -> None:
    """Give a member its attributes, and its list, dict or set the contents."""
    attributes, contents = state
    if not numbers.came_here(type(member)):
        return
    vars(member).update(attributes)
    if contents is not None:
        kind = builtin_method(type(member), "__init__").__objclass__  # type: ignore[attr-defined]
        arguments, elements, items = contents
        kind.clear(member)
        kind.__init__(member, *arguments)
        if elements:
            kind.extend(member, elements)
        if items:
            kind.update(member, items)


def keep_unnamed(cls: Any) -> None:
    """Have a flag, once it is filled, find the members by their values that have no name."""
    known = cls.__dict__.get("_value2member_map_", {})
    for (name, value), member in _members.get(cls, {}).items():
        if name is None:
            known.setdefault(value, member)
