"""Which part of an object cannot be pickled, and the way to it. Pure: objects in, text out.

The search asks the pickler itself for what it would do with each object (`persistent_id`,
`reducer_override`, its table, `__reduce_ex__`), and follows the answers in pickle's own order: so
it stops where pickle stopped, and looks nowhere else. Each object is asked once. Nothing is asked
of the objects that are not pickle's own questions: no comparison, no `repr`, no attribute that a
class may answer by code.
"""

from __future__ import annotations

import builtins
import collections
import functools
import io
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from seqloader.errors import ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Culprit", "Location", "find_culprit", "kind_of", "type_name"]

_MOST_OBJECTS: Final = 1_000_000
"""Objects that are asked, a few seconds' worth; beyond, the message names the whole."""

_LONGEST_KEY: Final = 80

_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})
_ALWAYS_FINE: Final = _ATOMS | {type(...), type(NotImplemented), range, slice, pickle.PickleBuffer}
_ARGUMENT_LABELS: Final[tuple[tuple[Any, str], ...]] = (
    ((type, types.FunctionType, types.CodeType), ""),
    ((types.MethodType, types.BuiltinMethodType, types.MethodWrapperType), ".__self__"),
    (functools.partial, ".func"),
    (collections.defaultdict, ".default_factory"),
    (BaseException, ".args[{number}]"),
    ((set, frozenset), " (its elements)"),
    ((list, collections.deque, types.MappingProxyType), ""),
    ((enumerate, filter, map, reversed, zip), " (what it runs over)"),
)
"""What an argument of the function that rebuilds it is called, by what is rebuilt."""

_PARTIAL_STATE: Final = (".func", ".args", ".keywords", "")
_PROPERTY: Final = ("", ".fget", ".fset", ".fdel", ".__doc__")


class Location(NamedTuple):
    """Where an object lies, for a message."""

    path: str
    """From what can be named: `sequence`, a global, a class."""
    kind: str = ""
    """What the path begins with: "" for the object that was to be pickled; "global"; "class" for
    an attribute of one, "itself" for the class."""
    user: str = ""
    """The function through which it was reached."""
    inside: str = ""
    """ "function" where that function holds it, as a closure variable or a default."""

    def __str__(self) -> str:
        if self.kind == "global":
            return f"the global `{self.path}`"
        if self.kind == "itself":
            return f"the class {self.path}"
        return f"the class attribute {self.path}" if self.kind == "class" else self.path

    def at(self, label: str) -> Location:
        """A part of what lies here."""
        return self._replace(path=self.path + label)


class Culprit(NamedTuple):
    """The smallest part that cannot be pickled."""

    location: Location
    part: object
    error: BaseException | None
    """What pickling it raised."""
    holder: type | None = None
    """Class of the object that holds it; what the standard library has, only contains."""

    def __str__(self) -> str:
        used = f", used by {self.location.user}" if self.location.kind == "global" else ""
        return f"{self.location}, {kind_of(self.part)}{used}"


def find_culprit(
    obj: object,
    name: str,
    make_pickler: Callable[[io.BytesIO], Any],
    is_known: Callable[[type], bool] = lambda _: False,
) -> Culprit:
    """The part of `obj` at which the pickler fails; `obj` itself if none can be told.

    Args:
        name: What a message calls `obj`.
        make_pickler: Makes a fresh one.
        is_known: Whether a type is one that a reader knows as a whole. The search goes into it, and
            the answer is the outermost such object on the way: a process, not a lock inside it.
    """
    search = _Search(make_pickler)
    try:
        found = search.run(Location(name), obj)
    except ERRORS:  # objects may do anything while they are asked
        found = None
    if found is None:
        return Culprit(Location(name), obj, None)
    for depth, (location, part) in enumerate(search.way):
        if is_known(type(part)) or part is found.part:
            return Culprit(location, part, found.error, _holder(search.way[:depth]))
    return found


def _holder(way: list[tuple[Location, object]]) -> type | None:
    for _, one in reversed(way):
        module, dot, _ = type_name(type(one)).partition(".")
        if dot and module not in sys.stdlib_module_names:
            return type(one)
    return None


class _Search:
    def __init__(self, make_pickler: Callable[[io.BytesIO], Any]) -> None:
        self._make_pickler = make_pickler
        self._pickler = make_pickler(io.BytesIO())
        self._persistent_id = getattr(self._pickler, "persistent_id", lambda _: None)
        self._table = self._pickler.dispatch_table
        self._seen: dict[int, object] = {}
        """By id, kept alive: so that no other object gets the id."""
        self.way: list[tuple[Location, object]] = []
        """From the whole to where the search is."""

    def run(self, location: Location, obj: object) -> Culprit | None:
        levels: list[Iterator[tuple[Location, object]]] = [iter([(location, obj)])]
        while levels:
            try:
                location, obj = next(levels[-1])
            except StopIteration:
                levels.pop()
                if self.way:
                    self.way.pop()
                continue
            if type(obj) in _ALWAYS_FINE or id(obj) in self._seen:
                continue
            if len(self._seen) >= _MOST_OBJECTS:
                return None
            self._seen[id(obj)] = obj
            if issubclass(type(obj), type):  # it is known by its name, not by who refers to it
                location = Location(_static_name(obj), "itself")
            try:
                parts = self._parts(location, obj)
            except ERRORS as error:
                self.way.append((location, obj))
                # Its frames hold the buffers of arrays that were asked before. Garbage collection
                # must not find those in a cycle: CPython 3.11 crashes when it clears a view of one.
                return Culprit(location, obj, error.with_traceback(None))
            levels.append(parts)
            self.way.append((location, obj))
        return None

    def _parts(self, location: Location, obj: Any) -> Iterator[tuple[Location, object]]:
        """What pickle would save of `obj`; raises what pickle would raise for it."""
        if self._persistent_id(obj) is not None:
            return iter(())
        kind = type(obj)
        if kind is dict:
            return _of_pairs(location, obj.items())
        if kind is list or kind is tuple:
            return _of_items(location, obj)
        if kind is set or kind is frozenset:
            return ((location.at(" (an element)"), part) for part in obj)
        reduced = self._reduce(obj)
        if not isinstance(reduced, tuple):  # by name, or as an atom
            self._make_pickler(io.BytesIO()).dump(obj)
            return iter(())
        if issubclass(kind, np.ndarray) and obj.dtype.hasobject:
            return _of_items(location.at(".flat"), np.asarray(obj).flat)
        return _of_reduced(location, obj, reduced)

    def _reduce(self, obj: Any) -> Any:
        reduced = self._pickler.reducer_override(obj)
        if reduced is not NotImplemented:
            return reduced
        kind = type(obj)
        if kind in self._table:
            return self._table[kind](obj)
        return None if issubclass(kind, (type, types.FunctionType)) else obj.__reduce_ex__(5)


# --- what a reduction holds, and what to call it ----------------------------------------------


def _of_items(location: Location, items: Any) -> Iterator[tuple[Location, object]]:
    for number, part in enumerate(items):
        if type(part) not in _ATOMS:  # a million numbers need no label each
            yield location.at(f"[{number}]"), part


def _of_pairs(location: Location, pairs: Any) -> Iterator[tuple[Location, object]]:
    for key, value in pairs:
        if type(key) not in _ATOMS:
            yield location.at(" (a key)"), key
        if type(value) not in _ATOMS:
            yield location.at(f"[{_key(key)}]"), value


def _of_reduced(
    location: Location, obj: object, reduced: tuple[Any, ...]
) -> Iterator[tuple[Location, object]]:
    func, args, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    yield location.at(" (what rebuilds it)"), func
    for label, arg in zip(_argument_labels(obj, func, args), args, strict=False):
        yield location.at(label), arg
    if items is not None:
        yield from _of_items(location, items)
    if pairs is not None:
        yield from _of_pairs(location, pairs)
    yield from _of_state(location, obj, state)
    if setter is not None:
        yield location.at(" (what sets its state)"), setter


def _argument_labels(obj: object, func: object, args: tuple[Any, ...]) -> Iterable[str]:
    kind = type(obj)
    for kinds, label in _ARGUMENT_LABELS:
        if issubclass(kind, kinds):
            return [label.format(number=number) for number in range(len(args))]
    if kind is property:
        return _PROPERTY
    if func is iter:
        return [" (what it runs over)"] * len(args)
    if issubclass(kind, tuple):
        fields = _static(kind, "_fields")
        named = isinstance(fields, tuple) and len(args) == len(fields) + 1
        return ["", *(f".{name}" for name in fields)] if named else [""] * len(args)
    held = _own_attributes(obj)
    return [
        next((f".{name}" for name, value in held.items() if value is arg), "")
        or f" (argument {number} of its __reduce__)"
        for number, arg in enumerate(args)
    ]


def _of_state(location: Location, obj: object, state: Any) -> Iterator[tuple[Location, object]]:
    kind = type(obj)
    if state is None:
        return
    if kind is types.FunctionType:
        yield from _of_function(location, obj, state)
        return
    if issubclass(kind, type):
        yield from _of_class(obj, state)
        return
    if issubclass(kind, functools.partial) and type(state) is tuple and len(state) == 4:
        for label, part in zip(_PARTIAL_STATE, state, strict=True):
            yield location.at(label), part
        return
    names = _static(kind, "__dataclass_fields__")
    if type(state) is list and isinstance(names, dict) and len(names) == len(state):
        state = dict(zip(names, state, strict=True))  # frozen, with slots
    both = state if type(state) is tuple and len(state) == 2 else (state,)
    if not all(part is None or type(part) is dict for part in both):
        yield location.at(" (what its __getstate__ returns)"), state
        return
    for name, value in (pair for fields in both for pair in (fields or {}).items()):
        yield location.at(f".{name}" if type(name) is str else f"[{_key(name)}]"), value


def _of_function(
    location: Location, function: Any, state: Any
) -> Iterator[tuple[Location, object]]:
    """The state of a function, as `definitions.functions` makes it."""
    attributes, own, cells, (used, _), _ = state
    code, who = function.__code__, str(function.__qualname__)
    # It is known by its name, where the way to it led through classes and globals.
    inside = Location(who if location.kind else location.path, "", who, "function")
    closure = zip(map(id, function.__closure__ or ()), code.co_freevars, strict=False)
    names = dict(closure)
    for cell, part in cells:
        yield inside.at(f" (its variable {names.get(id(cell))})"), part
    defaults = own["__defaults__"] or ()
    arguments = code.co_varnames[: code.co_argcount][code.co_argcount - len(defaults) :]
    by_name = {**dict(zip(arguments, defaults, strict=False)), **(own["__kwdefaults__"] or {})}
    for argument, part in by_name.items():
        yield inside.at(f" (the default of its argument {argument})"), part
    for argument, part in own["__annotations__"].items():
        yield inside.at(f" (the annotation of {argument})"), part
    for name, part in attributes.items():
        yield location.at(f".{name}"), part
    for variable, part in used.items():
        yield Location(variable, "global", who), part


def _of_class(cls: Any, state: Any) -> Iterator[tuple[Location, object]]:
    """The state of a class, as `definitions.classes` makes it."""
    own, subclasses, abstract, (used, _) = state
    name = _static_name(cls)
    for attribute, part in own.items():
        yield Location(f"{name}.{attribute}", "class"), part
    for part in (*subclasses, *abstract):
        yield Location(name, "itself"), part
    for variable, part in used.items():
        yield Location(variable, "global", name), part


def _own_attributes(obj: object) -> dict[str, object]:
    """Its `__dict__`, past a class that answers by code."""
    try:
        held = object.__getattribute__(obj, "__dict__")
    except Exception:
        return {}
    return held if type(held) is dict else {}


def _static_name(cls: Any) -> str:
    return str(type.__dict__["__qualname__"].__get__(cls))


def _static(kind: type, name: str) -> Any:
    """A class attribute as it stands in the class, whatever its metaclass says."""
    for base in type.__dict__["__mro__"].__get__(kind):
        if name in base.__dict__:
            return base.__dict__[name]
    return None


# --- words ------------------------------------------------------------------------------------


def kind_of(obj: object) -> str:
    """Its type, for a message: "a generator", "an _io.BufferedReader"."""
    name = type_name(type(obj))
    return f"{'an' if name.lstrip('_')[:1] in 'aeiouAEIOU' else 'a'} {name}"


def type_name(cls: type) -> str:
    """The name of a type, with its module where that is not `builtins`."""
    home, name = str(cls.__module__), cls.__qualname__
    return name if home == builtins.__name__ else f"{home}.{name}"


def _key(key: object) -> str:
    if type(key) is str:
        text = f'"{key}"'
    elif type(key) in _ATOMS or (type(key) is tuple and all(type(k) in _ATOMS for k in key)):
        text = repr(key)
    else:
        return kind_of(key)
    return text if len(text) <= _LONGEST_KEY else f"{text[: _LONGEST_KEY - 3]}..."
