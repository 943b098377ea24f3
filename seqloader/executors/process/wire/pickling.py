"""Pickles of batches and exceptions, on their way from a worker to the consumer.

Protocol 5 with out-of-band buffers; plain pickle first, cloudpickle for what that refuses.

# Note [Classes that exist twice]
The Sequence came to the worker by value (wire/definitions), so a class of the user's `__main__`, or
one defined inside a function, is in the consumer as the original and in the worker as a copy. Sent
back by value, it would not be the original (or would overwrite the original's methods by copies).
Every definition with an identity is numbered where it is sent, and keeps its number where it is
rebuilt: so what came from the consumer goes back as that number, and the original is found by it;
by name where the number is forgotten (a notebook cell that was run again, whose class replaced the
first). A class made in the worker itself has no original: it goes by value, and a later batch meets
what the first one rebuilt.
"""

from __future__ import annotations

import functools
import importlib
import io
import itertools
import pickle
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.executors.process.wire import foreign
from seqloader.executors.process.wire.definitions import numbers, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["dumps", "dumps_whole", "loads", "unpicklable_part"]


def dumps(obj: object, *, name: str = "batch") -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle `obj`, leaving the memory of its arrays outside.

    Args:
        obj: What a worker sends to the consumer. (Not for the way there: classes that came from
            the consumer are sent as references to it.)
        name: What an error message calls it.

    Raises:
        pickle.PicklingError: It cannot be pickled; the message names the smallest part that
            cannot, and what to do.
    """
    buffers: list[pickle.PickleBuffer] = []
    return _dumps(obj, name, buffers), buffers


def dumps_whole(obj: object, *, name: str = "object") -> bytes:
    """As `dumps`, with the memory of arrays inside the pickle."""
    return _dumps(obj, name, None)


def loads(data: Any, buffers: Iterable[Any] = ()) -> Any:
    """Rebuild what `dumps` was given. May raise whatever the user's own objects raise."""
    return pickle.loads(data, buffers=buffers)


def _dumps(obj: object, name: str, buffers: list[pickle.PickleBuffer] | None) -> bytes:
    result = _attempt(obj, buffers)
    if isinstance(result, bytes):
        return result
    raise pickle.PicklingError(_explain(obj, name, result)) from result


def _attempt(obj: object, buffers: list[pickle.PickleBuffer] | None) -> bytes | Exception:
    """The pickle, or why there is none."""
    result = _attempt_with(_Pickler, obj, buffers)
    if isinstance(result, (pickle.PicklingError, TypeError, AttributeError)):
        result = _attempt_with(_definition_pickler(), obj, buffers)
    return result


def _attempt_with(
    pickler: Callable[..., pickle.Pickler], obj: object, buffers: list[pickle.PickleBuffer] | None
) -> bytes | Exception:
    callback = None
    if buffers is not None:
        buffers.clear()
        callback = buffers.append
    file = io.BytesIO()
    try:
        pickler(file, protocol=5, buffer_callback=callback).dump(obj)
    except MemoryError:  # says nothing about the object
        raise
    except Exception as error:
        return error
    return file.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return _reduce(obj)


@functools.cache
def _definition_pickler() -> Callable[..., pickle.Pickler]:
    # Imported here: most batches hold nothing that it is needed for.
    module = importlib.import_module("seqloader.executors.process.wire.definitions.pickler")
    base: Any = module.DefinitionPickler

    class ReturnPickler(base):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = _reduce(obj)
            if reduced is not NotImplemented:
                return reduced
            if type(obj) in _SILENTLY_CHANGED:
                raise TypeError(f"cannot pickle {type(obj).__name__!r} object")
            return super().reducer_override(obj)

        def script_namespace(self) -> dict[str, Any]:
            """Of functions made in the worker: the consumer's globals are not touched."""
            stands_in: dict[str, Any] = self.copied_namespace(script.namespace())
            return stands_in

        def globals_used(
            self, namespace: dict[str, Any], used: Iterable[str], annotated: Iterable[str]
        ) -> tuple[dict[str, Any], list[str]]:
            return super().globals_used(namespace, used, ())[0], []

    return ReturnPickler


_SILENTLY_CHANGED = frozenset({io.TextIOWrapper, memoryview})
"""cloudpickle sends a file as its contents and a view as bytes; a batch must arrive as it is."""


def _reduce(obj: Any) -> Any:
    """How to send `obj` where pickle's own way will not do; else NotImplemented."""
    kind = type(obj)
    reducer = _REDUCERS.get(kind.__name__)
    if reducer is not None:
        return reducer(obj)
    if kind is FunctionType or issubclass(kind, type) or numbers.came_here(obj):
        return _reduce_definition(obj)
    return NotImplemented


def _reduce_ndarray(array: Any) -> Any:
    # numpy puts what is not contiguous inside the pickle, byte by byte.
    if type(array) is np.ndarray and not array.flags.forc and not array.dtype.hasobject:
        return np.ascontiguousarray(array).__reduce_ex__(5)
    return NotImplemented


_REDUCERS: dict[str, Callable[[Any], Any]] = {
    "ArrayImpl": foreign.reduce_jax,
    "EagerTensor": foreign.reduce_tensorflow,
    "Tensor": foreign.reduce_torch,
    "ndarray": _reduce_ndarray,
}
"""By the type's name, since the types themselves may not be imported."""


# See Note [Classes that exist twice].


def _reduce_definition(obj: Any) -> Any:
    if not numbers.came_here(obj):
        return NotImplemented
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    return original, (numbers.number_of(obj), getattr(obj, "__module__", None), name)


def original(number: str, module: object, qualname: object) -> Any:
    """In the consumer: what a worker has as a copy."""
    found = numbers.known(number)
    if found is None:
        found = script.look_up(module, qualname)
    if found is None:
        raise pickle.UnpicklingError(
            f"a worker sent {module}.{qualname}, or an instance of it, and this process has no "
            "such definition any more: keep it, or move it into a module that can be imported"
        )
    return found


# What cannot be pickled.

_MOST_PARTS = 10_000
"""Parts of one container that are tried; a longer one is named as a whole if none of them fails."""

_DEEPEST = 50
"""Levels of a nest that are searched; below, the message names the part reached."""

_ADVICE = {
    "_io.BufferedReader": "return the file's name or its contents instead",
    "_io.TextIOWrapper": "return the file's name or its contents instead",
    "_thread.RLock": "leave it out, and make a lock where it is needed",
    "_thread.lock": "leave it out, and make a lock where it is needed",
    "generator": "make it a list or an array first",
    "memoryview": "make it bytes or an array first",
    "module": "import it where it is needed",
    "torch.Tensor": "return it with .cpu(), and move it to its device in the consumer",
}
_OTHER_ADVICE = "leave it out, or give its class a __reduce__ that can rebuild it"


def unpicklable_part(obj: object, name: str = "batch") -> str:
    """Name the smallest part of `obj` that cannot be pickled, and its type.

    For instance `batch["meta"][2].lock, a _thread.lock`. It runs pickle on every part on the way.
    """
    place, part = _smallest(obj, name)
    return f"{place}, {_kind(part)}"


def _explain(obj: object, name: str, error: Exception) -> str:
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return f"{name} is nested too deeply to be pickled: make it flatter"
    place, part = _smallest(obj, name)
    advice = _ADVICE.get(_type_name(part), _OTHER_ADVICE)
    try:
        reason = str(error)
    except Exception:
        reason = ""
    reason = f" ({type(error).__name__}: {reason[:500]})"
    return f"{place}, {_kind(part)}, cannot be pickled{reason}: {advice}"


def _smallest(obj: object, name: str) -> tuple[str, object]:
    return _search(obj, name, {id(obj): obj}, _DEEPEST) or (name, obj)


def _search(
    obj: object, place: str, seen: dict[int, object], depth: int
) -> tuple[str, object] | None:
    """The culprit in `obj`, which fails; None if it may fail only for what was seen before it."""
    leads_back = False
    for label, part in itertools.islice(_parts(obj), _MOST_PARTS):
        if depth and isinstance(_attempt(part, []), Exception):
            if id(part) in seen:
                leads_back = True
                continue
            seen[id(part)] = part  # kept alive, so that no other object gets its id
            culprit = _search(part, place + label, seen, depth - 1)
            if culprit is not None:
                return culprit
            leads_back = True
    return None if leads_back else (place, obj)


def _parts(obj: Any) -> Iterator[tuple[str, object]]:
    """What `obj` consists of, each with the text that leads to it."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{_short(key)}]", value
        for key in obj:
            yield f" (the key {_short(key)})", key
    elif isinstance(obj, tuple) and hasattr(obj, "_fields"):
        yield from ((f".{name}", value) for name, value in zip(obj._fields, obj, strict=False))
    elif isinstance(obj, (list, tuple)):
        yield from ((f"[{number}]", value) for number, value in enumerate(obj))
    elif isinstance(obj, (set, frozenset)):
        yield from ((f" (the element {_short(value)})", value) for value in obj)
    elif isinstance(obj, np.ndarray) and obj.dtype.hasobject:
        yield from ((f".flat[{number}]", value) for number, value in enumerate(obj.flat))
    elif isinstance(obj, FunctionType):
        for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=False):
            yield f" (its variable {name})", cell.cell_contents
    elif isinstance(obj, BaseException):
        yield from ((f".args[{number}]", value) for number, value in enumerate(obj.args))
    if not isinstance(obj, (type, FunctionType)):
        yield from _attributes(obj)


def _attributes(obj: Any) -> Iterator[tuple[str, object]]:
    try:
        reduced = obj.__reduce_ex__(5)
    except Exception:
        reduced = None
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    if reduced is None:
        state = getattr(obj, "__dict__", None)
    for fields in state if isinstance(state, tuple) else (state,):  # (__dict__, slots)
        if isinstance(fields, dict):
            yield from ((f".{name}", value) for name, value in fields.items())


def _kind(obj: object) -> str:
    name = _type_name(obj)
    return f"{'an' if name.lstrip('_')[:1] in 'aeiouAEIOU' else 'a'} {name}"


def _type_name(obj: object) -> str:
    cls = type(obj)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def _short(key: object) -> str:
    try:
        text = f'"{key}"' if isinstance(key, str) else repr(key)
    except Exception:
        return _kind(key)
    return text if len(text) <= 80 else f"{text[:77]}..."
