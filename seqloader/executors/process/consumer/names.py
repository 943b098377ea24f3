"""The script's definitions by their names, for what code in a worker may look up.

A worker gets what the Sequence uses. Code in it may look up more by its name alone: `pickle.load`
of an object of a class of the script, a function that a nested pool is given, `globals()`. So each
name of the script's top level is pickled by itself, small, while the workers' interpreters start;
a worker unpickles one when it is asked for. Other names are referred to by name: none brings the
rest along, and a class that uses a heavy library has no worker import it.

Data travels so only where a definition uses it, where it is small, and where pickling it runs no
code of the user's.
"""

from __future__ import annotations

import io
import marshal
from collections.abc import Iterable
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any, Final

import numpy as np

from seqloader.executors.process.wire.definitions import script
from seqloader.executors.process.wire.definitions.pickler import DefinitionPickler
from seqloader.executors.process.wire.definitions.scope import IN_WORKERS, Globals, Scope
from seqloader.executors.process.wire.refusals import text_of

__all__ = ["pickle_names"]

MOST_BYTES: Final = 1 << 18
"""Of one name's pickle. Whatever is larger is data, and belongs to the Sequence."""
MOST_BYTES_TOGETHER: Final = 1 << 22
"""Of all names: a limit to what a start may cost."""


def pickle_names() -> bytes:
    """Each name of the script: its pickle, or why there is none. Empty where there is nothing."""
    namespace = dict(script.namespace())
    entries: dict[str, bytes | str] = {}
    waiting = [name for name, value in namespace.items() if _is_definition(name, value)]
    left = MOST_BYTES_TOGETHER
    while waiting:
        name = waiting.pop()
        if name in entries or name not in namespace:
            continue
        entry, used = _entry(name, namespace[name]) if left > 0 else ("others are large", ())
        entries[name] = entry
        left -= len(entry)
        waiting.extend(used)
    return marshal.dumps(entries) if entries else b""


def _is_definition(name: str, value: Any) -> bool:
    if name.startswith("__"):
        return False
    module = script.plain_attribute(value, "__module__")
    return script.is_of_script(module) and script.name_in_script(value) == name


def _entry(name: str, value: Any) -> tuple[bytes | str, Iterable[str]]:
    file = _Bounded()
    definition = _Definition(value)
    try:
        DefinitionPickler(file, definition.reduce, scope=definition.scope).dump(value)
    except _TooLarge:
        return f"it is larger than {MOST_BYTES:,} bytes", ()
    except Exception as error:
        return f"it cannot be pickled ({type(error).__name__}: {text_of(error)})", ()
    return file.getvalue(), definition.scope.named


class _TooLarge(Exception):
    pass


class _Bounded(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > MOST_BYTES:
            raise _TooLarge
        return super().write(data)


class _Definition:
    """One of the script's, while it is pickled: it refers to the others by their names."""

    def __init__(self, value: object) -> None:
        self._value = value
        self.scope = Scope(Globals.NAMED)

    def reduce(self, obj: Any) -> Any:
        """By name, if it is another one of the script's; refuse what is large or runs code."""
        if script.is_of_script(type(obj).__module__):
            _refuse_own_reduction(obj)
        elif isinstance(obj, np.ndarray):
            if obj.nbytes > MOST_BYTES:
                raise _TooLarge
        elif not isinstance(obj, (type, FunctionType, ModuleType)):
            _refuse_foreign(obj)
        if obj is self._value or isinstance(obj, ModuleType):
            return NotImplemented
        of_script = script.is_of_script(script.plain_attribute(obj, "__module__"))
        name = script.name_in_script(obj) if of_script else ""
        if not name:
            return NotImplemented
        self.scope.named[name] = None
        return script.find, (name,)


def _refuse_foreign(obj: Any) -> None:
    package = type(obj).__module__.partition(".")[0]
    if package not in IN_WORKERS:  # others' may be models, on devices
        raise TypeError(f"it holds an object of {package}")


def _refuse_own_reduction(obj: Any) -> None:
    kind = type(obj)
    if isinstance(obj, (type, Enum)) or (isinstance(obj, tuple) and hasattr(kind, "_fields")):
        return
    names_of_hooks = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs_ex__")
    if any(getattr(kind, hook, None) is not getattr(object, hook, None) for hook in names_of_hooks):
        raise TypeError(f"it holds a {kind.__qualname__}, whose pickling runs code of its own")
