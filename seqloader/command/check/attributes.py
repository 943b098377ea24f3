"""The attributes of a Sequence as they would be sent: how large each is, and whether it changed.

Worker processes import this, for a check alone.
"""

from __future__ import annotations

import io
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqloader.executors.process.consumer.sending import StatePickler
from seqloader.sharing import SharedMemory

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Change", "Print", "changes", "lasting_values", "print_of", "prints_of", "state_of"]

DIGEST_BYTES = 16
MOST_ATTRIBUTES = 1000
WHOLE_BYTES = 256_000_000
"""Of a larger array, every second byte is compared, or every third, ..."""
LIBRARIES = {"seqloader", "keras", "tf_keras", "tensorflow", "torch", "numpy"}
"""Packages whose classes users derive from: what these keep is not the user's."""


class Print(NamedTuple):
    """A fingerprint of one value."""

    pickled: int
    """Bytes of Python objects: every worker holds its own."""
    arrays: int
    """Bytes of arrays, which all workers share."""
    digest: bytes
    problem: str
    """Why it cannot be pickled; empty where it can."""

    @property
    def nbytes(self) -> int:
        """Of both."""
        return self.pickled + self.arrays


class Change(NamedTuple):
    """A value that is not what it was."""

    name: str
    """As user code names it: `self.cache`, `Waves.calls`, `data.CACHE`."""
    kind: str
    before: int
    """Bytes; -1: there was no such attribute, or its size is not known."""
    after: int


def prints_of(values: dict[str, Any], blind_to: Iterable[object] = ()) -> dict[str, Print]:
    """A fingerprint of each, by name. `blind_to`: parts whose contents do not count."""
    blind = frozenset(map(id, blind_to))
    return {name: print_of(value, blind) for name, value in [*values.items()][:MOST_ATTRIBUTES]}


def lasting_values(sequence: Any) -> dict[str, Any]:
    """What user code may change and find again in the same process, by name.

    The Sequence's attributes, those of its class, and the global variables of its module.
    """
    state = state_of(sequence)
    found = {"the Sequence": sequence}
    if state is not None:
        found = {f"self.{name}": value for name, value in state.items()}
    for cls in type(sequence).__mro__:
        module = sys.modules.get(cls.__module__)
        top = cls.__module__.partition(".")[0]
        if module is None or top in sys.stdlib_module_names or top in LIBRARIES:
            continue
        for holder, name in ((cls, cls.__name__), (module, cls.__module__)):
            for attribute, value in [*vars(holder).items()]:
                if not attribute.startswith("__") and _may_change(value):
                    found[f"{name}.{attribute}"] = value
    return found


def _may_change(value: Any) -> bool:
    fixed = (type, types.ModuleType, property, classmethod, staticmethod)
    return not (isinstance(value, fixed) or callable(value))


def state_of(sequence: Any) -> dict[str, Any] | None:
    """The attributes that travel to the workers; None where it is not made of attributes."""
    cls: Any = type(sequence)
    if cls.__reduce_ex__ is not object.__reduce_ex__ or cls.__reduce__ is not object.__reduce__:
        return None
    try:
        state = sequence.__getstate__()
    except Exception:
        return getattr(sequence, "__dict__", None)
    found: dict[str, Any] = {}
    for fields in state if isinstance(state, tuple) else (state,):  # (__dict__, slots)
        if isinstance(fields, dict):
            found.update((str(name), value) for name, value in fields.items())
        elif fields is not None:
            return None
    return found


def print_of(value: Any, blind: frozenset[int] = frozenset()) -> Print:
    """Pickle a value as it would be sent, and keep nothing but size and digest."""
    from hashlib import blake2b

    sink = _Sink(blake2b(digest_size=DIGEST_BYTES))
    pickler = _AllInside(sink)
    pickler.blind = blind
    try:
        pickler.dump(value)
    except Exception as error:
        return Print(0, 0, b"", f"{type(error).__name__}: {error}"[:500])
    arrays = 0
    for buffer in pickler.buffers:
        step = 1 + buffer.nbytes // WHOLE_BYTES
        sink.hash.update(np.ascontiguousarray(buffer[::step]))
        arrays += buffer.nbytes
    return Print(sink.nbytes, arrays, sink.hash.digest(), "")


class _AllInside(StatePickler):
    """Leaves out shared memory, which is not sent; large lists, which are, stay inside."""

    blind: frozenset[int] = frozenset()

    def persistent_id(self, obj: Any) -> Any:
        if id(obj) in self.blind:
            return 0
        return super().persistent_id(obj) if type(obj) is SharedMemory else None


class _Sink(io.RawIOBase):
    def __init__(self, hasher: Any) -> None:
        self.hash = hasher
        self.nbytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        nbytes = memoryview(data).nbytes
        self.hash.update(data)
        self.nbytes += nbytes
        return nbytes


def changes(
    before: dict[str, Print], after: dict[str, Print], values: dict[str, Any]
) -> tuple[Change, ...]:
    """What differs, by name; `values` as they are now."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if _content(old) != _content(new):
            found.append(Change(name, _kind(values.get(name)), _size(old), _size(new)))
    return tuple(found)


def _content(known: Print | None) -> Any:
    """What two fingerprints are compared by: the words of a problem may name an address."""
    return None if known is None else (known.digest, bool(known.problem))


def _size(known: Print | None) -> int:
    return -1 if known is None or known.problem else known.nbytes


def _kind(value: Any) -> str:
    """What an attribute is, in a word: `generator` for whatever draws random numbers."""
    for module, names in (
        ("random", ("Random",)),
        ("numpy.random", ("Generator", "RandomState")),
        ("torch", ("Generator",)),
    ):
        loaded = sys.modules.get(module)
        kinds = tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))
        if kinds and isinstance(value, kinds):
            return "random generator"
    return type(value).__name__
