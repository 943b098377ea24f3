"""Finds the random generators that an object refers to, however deep.

Found are `numpy.random.Generator`, its bit generators, `RandomState`, `random.Random` and
`torch.Generator`, in whatever an object refers to: attributes, slots, containers, arguments of
`functools.partial`, the objects of bound methods, closures, default arguments, and attributes of
the classes that the user wrote. An object with a method `set_random_seed`, in which none of these
is found, counts as a generator itself.

Not found is what no reference leads to (globals that a function uses, memory of C extensions), and
what a `__getattr__` would make up: no code of the user's runs here. Modules and classes are not
entered, and the process's own generators (those of `random`, numpy and torch) are not held by
anyone: see global_generators.py.

# Note [A generator's place]
Each generator has a place, such as `augment.transforms[2].rng`: the first way to it, breadth first,
attributes by name. Its numbers derive from the place and not from how many were found before, so
that they are the same in the consumer and in a worker, where an object may lack what its
`__getstate__` left out. The elements of a set, which have no order, are ordered by class and
pickle: equal ones are interchangeable.
"""

from __future__ import annotations

import copyreg
import gc
import pickle
import sys
from collections import deque
from functools import partial
from itertools import chain
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.randomness.held_generators import (
    BitsOfNumpy,
    Held,
    LegacyOfNumpy,
    Opaque,
    bits_of,
    generator_kinds,
    own_generators,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["find_generators"]

Part = tuple[str, Any]
"""What stands in an object, and the text that leads to it."""


def find_generators(root: Any) -> tuple[Held, ...]:
    """All generators that `root` refers to, in the order of their discovery.

    Imports nothing, and calls no code of the user's but what pickles the elements of a set.
    """
    search = _Search()
    search.run(root)
    if not search.seedable:
        return tuple(search.found)
    opaque = [Opaque(place, one) for place, one in search.seedable if not _Search().run(one)]
    return (*search.found, *opaque)


class _Search:
    """One pass over everything that an object refers to."""

    def __init__(self) -> None:
        self.found: list[Held] = []
        self.seedable: list[Part] = []
        """Objects with a `set_random_seed`."""
        self._queue: deque[Part] = deque()
        self._seen: dict[int, Any] = {}
        """By id, and kept alive, so that nothing else gets it meanwhile."""
        self._bits: dict[int, str] = {}
        """Places of numpy's bit generators: who shares one shares its numbers."""
        self._ways: dict[type, Callable[[str, Any], Iterable[Part]]] = {}
        self._classes: set[type] = set()
        self._kinds = generator_kinds()
        own = list(own_generators().values())
        self._own = {id(part): part for part in (*own, *map(bits_of, own))}

    def run(self, root: Any) -> bool:
        """Search `root` and all below it; whether anything was found."""
        self._queue.append(("", root))
        self._seen[id(root)] = root
        queue, ways = self._queue, self._ways
        while queue:
            place, obj = queue.popleft()
            kind = type(obj)
            way = ways.get(kind)
            if way is None:
                way = ways[kind] = self._way_into(kind)
            self._take_up(way(place, obj), place)
        # Each way refers to this search: the cycle would keep all that was seen, and its memory,
        # until garbage is collected.
        ways.clear()
        return bool(self.found)

    def _take_up(self, parts: Iterable[Part], place: str) -> None:
        seen = self._seen
        for text, part in parts:
            kind = type(part)
            if kind in _ATOMS or id(part) in seen:
                continue
            if kind is np.ndarray and not part.dtype.hasobject:
                continue
            if (kind is dict or kind is tuple) and _holds_atoms(part):
                continue  # as each of a million annotations
            seen[id(part)] = part
            self._queue.append((place + text, part))

    def _way_into(self, kind: type) -> Callable[[str, Any], Iterable[Part]]:
        """How objects of a class are searched."""
        known = _WAYS.get(kind)
        if known is not None:
            return lambda place, obj: known(obj)
        if issubclass(kind, _CLOSED) or _is_tensor(kind):
            return lambda place, obj: ()
        for base, note in self._kinds:
            if issubclass(kind, base):
                return lambda place, obj: self._note(place, obj, note)
        seedable = callable(getattr(kind, "set_random_seed", None))
        contents = next((_WAYS[base] for base in kind.__mro__ if base in _WAYS), None)
        return lambda place, obj: self._enter(place, obj, contents, seedable=seedable)

    def _note(self, place: str, obj: Any, note: type[Held]) -> Iterable[Part]:
        """A generator was found. What it consists of is not searched."""
        bits = bits_of(obj)
        if id(bits) in self._own or id(obj) in self._own:
            return ()
        if note is BitsOfNumpy or note is LegacyOfNumpy:
            known = id(bits) in self._bits
            place = self._bits.setdefault(id(bits), place)
            self._seen[id(bits)] = bits
            if note is BitsOfNumpy:
                if known:
                    return ()
                obj = bits
        one = note(place, obj)
        if one.can_be_set():
            self.found.append(one)
        return ()

    def _enter(
        self,
        place: str,
        obj: Any,
        contents: Callable[[Any], Iterable[Part]] | None,
        *,
        seedable: bool,
    ) -> Iterator[Part]:
        """The parts of an object of any other class."""
        if seedable:
            self.seedable.append((place, obj))
        if contents is not None:
            yield from contents(obj)
        yield from self._attributes(obj)
        kind = type(obj)
        if kind not in self._classes:
            self._classes.add(kind)
            for base in kind.__mro__:
                if _is_of_the_user(base):
                    yield from _class_attributes(base)
        yield from self._referents(obj)

    def _attributes(self, obj: Any) -> Iterator[Part]:
        for name in copyreg._slotnames(type(obj)):  # type: ignore[attr-defined]
            try:
                yield f".{name}", object.__getattribute__(obj, name)
            except AttributeError:
                continue
        try:
            fields = object.__getattribute__(obj, "__dict__")
        except AttributeError:
            return
        if type(fields) is dict:
            self._seen[id(fields)] = fields
            for name in sorted(fields, key=str):
                yield f".{name}", fields.get(name)

    def _referents(self, obj: Any) -> Iterator[Part]:
        """What an object of a C type holds, which has no names."""
        number = 0
        for part in gc.get_referents(obj):
            if type(part) in _ATOMS or id(part) in self._seen or isinstance(part, _CLOSED):
                continue
            yield f".<{number}>", part
            number += 1


def _is_tensor(kind: type) -> bool:
    return (kind.__module__.partition(".")[0], kind.__name__) in _TENSORS


_TENSORS: Final = {
    ("torch", "Tensor"),
    ("torch", "Parameter"),
    ("jaxlib", "ArrayImpl"),
    ("tensorflow", "EagerTensor"),
}

_ATOMS: Final[frozenset[type]] = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, range, slice}
    | set(np.sctypeDict.values()) - {np.object_, np.void}
)
"""Exact types whose objects hold nothing else."""

_CLOSED: Final = (type, ModuleType, CodeType, FrameType)
"""What leads to everything."""

_LIBRARIES: Final = sys.stdlib_module_names | {
    "numpy", "scipy", "pandas", "torch", "torchvision", "jax", "jaxlib", "tensorflow", "keras",
    "seqloader",
}  # fmt: skip
"""Whose classes hold no generators for their objects; going through their methods would be slow."""


def _is_of_the_user(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in _LIBRARIES


def _class_attributes(kind: type) -> Iterator[Part]:
    for name, value in sorted(vars(kind).items()):
        if not (name.startswith("__") and type(value) is not FunctionType):
            yield f"<{kind.__qualname__}.{name}>", getattr(value, "__func__", value)


# --- what stands in objects of known types --------------------------------------------------------


def _elements(obj: Any) -> list[Any]:
    """Of a container, as Python's own class iterates over it."""
    return list(next(base for base in _CONTAINERS if isinstance(obj, base)).__iter__(obj))


def _holds_atoms(obj: Any) -> bool:
    """Whether a dict or tuple holds atoms only. Python itself has found so for most of these."""
    if gc.is_tracked(obj):
        return False
    return set(map(type, obj.values() if type(obj) is dict else obj)) <= _ATOMS


def _of_list(obj: Any) -> Iterable[Part]:
    elements = obj if type(obj) is list else _elements(obj)
    if set(map(type, elements)) <= _ATOMS:
        return ()
    return ((f"[{number}]", part) for number, part in enumerate(elements))


def _of_dict(obj: Any) -> Iterable[Part]:
    items = list(dict.items(obj))
    kinds = {type(key) for key, _ in items}
    parts: Iterable[Part] = ()
    if not kinds <= _ATOMS:
        keys = enumerate(key for key, _ in items)
        parts = [(f"[key {number}]", key) for number, key in keys if type(key) not in _ATOMS]
    if {type(value) for _, value in items} <= _ATOMS:
        return parts
    named = (
        (f"[{key!r}]" if type(key) in _ATOMS else f"[value {number}]", value)
        for number, (key, value) in enumerate(items)
        if type(value) not in _ATOMS
    )
    return chain(parts, named)


def _of_set(obj: Any) -> Iterable[Part]:
    elements = [part for part in _elements(obj) if type(part) not in _ATOMS]
    elements.sort(key=_set_key)
    return ((f"{{{number}}}", part) for number, part in enumerate(elements))


def _set_key(element: Any) -> tuple[str, bytes]:
    kind = type(element)
    try:
        pickled = pickle.dumps(element, 5)
    except Exception:
        pickled = b""
    return f"{kind.__module__}.{kind.__qualname__}", pickled


def _of_array(obj: Any) -> Iterable[Part]:
    if not obj.dtype.hasobject:
        return ()
    if obj.dtype.names is not None:
        return ((f"[{name!r}]", obj[name]) for name in obj.dtype.names)
    return _of_list(obj.ravel().tolist())


def _of_function(obj: Any) -> Iterable[Part]:
    for number, cell in enumerate(obj.__closure__ or ()):
        try:
            yield f".<variable {obj.__code__.co_freevars[number]}>", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    if obj.__defaults__:
        yield ".__defaults__", obj.__defaults__
    if obj.__kwdefaults__:
        yield ".__kwdefaults__", obj.__kwdefaults__
    if obj.__dict__:
        yield ".__dict__", obj.__dict__


def _of_method(obj: Any) -> Iterable[Part]:
    yield ".__self__", obj.__self__
    yield ".__func__", getattr(obj, "__func__", None)


def _of_partial(obj: Any) -> Iterable[Part]:
    yield ".func", obj.func
    yield ".args", obj.args
    yield ".keywords", obj.keywords


_CONTAINERS: Final[tuple[type[Iterable[Any]], ...]] = (list, tuple, deque, set, frozenset)

_WAYS: Final[dict[type, Callable[[Any], Iterable[Part]]]] = {
    list: _of_list,
    tuple: _of_list,
    deque: _of_list,
    dict: _of_dict,
    set: _of_set,
    frozenset: _of_set,
    np.ndarray: _of_array,
    FunctionType: _of_function,
    MethodType: _of_method,
    BuiltinFunctionType: _of_method,
    partial: _of_partial,
}
