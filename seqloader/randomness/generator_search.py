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

from seqloader.randomness.global_generators import global_generators
from seqloader.randomness.held_generators import (
    BITS,
    OPAQUE,
    GeneratorKind,
    Held,
    bits_of,
    can_be_seeded,
    generator_classes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Way = Callable[["_Search", str, Any], Iterable["Part"]]
    """Searches an object at a place."""

__all__ = ["find_generators"]

Part = tuple[str, Any]
"""What stands in an object, and the text that leads to it."""


def find_generators(root: Any) -> tuple[Held, ...]:
    """All generators that `root` refers to, in the order of their discovery.

    Imports nothing, and calls no code of the user's but what pickles the elements of a set.
    """
    search = _Search(root)
    opaque = [
        Held(place, seedable, OPAQUE)
        for place, seedable in search.seedable
        if not _Search(seedable).found
    ]
    return (*search.found, *opaque)


class _Search:
    """One pass over everything that `root` refers to, breadth first."""

    def __init__(self, root: Any) -> None:
        self.found: list[Held] = []
        self.seedable: list[Part] = []
        """Objects with a `set_random_seed`, and their places."""
        self._queue: deque[Part] = deque([("", root)])
        self._seen: dict[int, Any] = {id(root): root}
        """By id, and kept alive, so that nothing else gets it meanwhile."""
        self._places: dict[int, str] = {}
        """Of what generators stand on: who shares a bit generator of numpy shares its numbers."""
        self._classes: set[type] = set()
        """Whose attributes were searched."""
        self._generator_classes = generator_classes()
        self._globals = {id(bits_of(one.target)) for one in global_generators()}
        self._run()

    def _run(self) -> None:
        ways: dict[type, Way] = {}
        while self._queue:
            place, obj = self._queue.popleft()
            kind = type(obj)
            way = ways.get(kind)
            if way is None:
                way = ways[kind] = self._way_into(kind)
            self._take_up(way(self, place, obj), place)

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

    def _way_into(self, cls: type) -> Way:
        """How objects of a class are searched. It does not refer to this search: in a cycle, all
        that was seen would stay in memory until garbage is collected."""
        known = _CONTENTS.get(cls)
        if known is not None:
            return lambda search, place, obj: known(obj)
        if issubclass(cls, _CLOSED) or _is_tensor(cls):
            return lambda search, place, obj: ()
        for base, kind in self._generator_classes:
            if issubclass(cls, base):
                return lambda search, place, obj: search._note(place, obj, kind)
        contents = next((_CONTENTS[base] for base in cls.__mro__ if base in _CONTENTS), None)
        seedable = callable(getattr(cls, "set_random_seed", None))
        return lambda search, place, obj: search._enter(place, obj, contents, seedable=seedable)

    def _note(self, place: str, obj: Any, kind: GeneratorKind) -> Iterable[Part]:
        """A generator was found. What it consists of is not searched."""
        bits = bits_of(obj)
        if id(bits) in self._globals or (kind is BITS and id(bits) in self._places):
            return ()
        place = self._places.setdefault(id(bits), place)
        self._seen[id(bits)] = bits
        one = Held(place, bits if kind is BITS else obj, kind)
        if can_be_seeded(one):
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
        """The parts of an object of any other class; `contents`: of the container that it is."""
        if seedable:
            self.seedable.append((place, obj))
        if contents is not None:
            yield from contents(obj)
        yield from self._attributes(obj)
        cls = type(obj)
        if cls not in self._classes:
            self._classes.add(cls)
            for base in cls.__mro__:
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
"""Not entered: they refer to whole modules, and so to nearly everything."""

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


def _of_dict(obj: Any) -> Iterator[Part]:
    items = list(dict.items(obj))
    for number, (key, _) in enumerate(items):
        if type(key) not in _ATOMS:
            yield f"[key {number}]", key
    for number, (key, value) in enumerate(items):
        if type(value) not in _ATOMS:
            yield f"[{key!r}]" if type(key) in _ATOMS else f"[value {number}]", value


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


def _of_function(obj: Any) -> Iterator[Part]:
    for number, cell in enumerate(obj.__closure__ or ()):
        try:
            yield f".<variable {obj.__code__.co_freevars[number]}>", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    yield from _named("__defaults__", "__kwdefaults__", "__dict__")(obj)


def _named(*names: str) -> Callable[[Any], Iterable[Part]]:
    return lambda obj: [(f".{name}", getattr(obj, name, None)) for name in names]


_CONTAINERS: Final[tuple[type[Iterable[Any]], ...]] = (list, tuple, deque, set, frozenset)

_CONTENTS: Final[dict[type, Callable[[Any], Iterable[Part]]]] = {
    list: _of_list,
    tuple: _of_list,
    deque: _of_list,
    dict: _of_dict,
    set: _of_set,
    frozenset: _of_set,
    np.ndarray: _of_array,
    FunctionType: _of_function,
    MethodType: _named("__self__", "__func__"),
    BuiltinFunctionType: _named("__self__"),
    partial: _named("func", "args", "keywords"),
}
