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

import io
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.arrays import is_plain
from seqloader.executors.process.wire import foreign
from seqloader.executors.process.wire.definitions import numbers, script
from seqloader.executors.process.wire.faithful import FAITHFUL_REDUCERS
from seqloader.executors.process.wire.views import (
    attributes_of,
    extent_of,
    has_default_reduction,
    is_worth_overlapping,
    reduce_dense,
    reduce_view,
    with_attributes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from seqloader.executors.process.wire.overlaps import Regions

__all__ = ["dumps", "dumps_whole", "loads"]


def dumps(
    obj: object, *, name: str = "batch", regions: Regions | None = None
) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle `obj`, leaving the memory of its arrays outside.

    Args:
        obj: What a worker sends to the consumer. (Not for the way there: classes that came from
            the consumer are sent as references to it.)
        name: What an error message calls it.
        regions: Memory of which some of its arrays are sent as views.

    Raises:
        pickle.PicklingError: It cannot be pickled; the message names the smallest part that
            cannot, and what to do.
    """
    buffers: list[pickle.PickleBuffer] = []
    return _dumps(obj, name, buffers, regions), buffers


def dumps_whole(obj: object, *, name: str = "object") -> bytes:
    """As `dumps`, with the memory of arrays inside the pickle."""
    return _dumps(obj, name, None)


def loads(data: Any, buffers: Iterable[Any] = ()) -> Any:
    """Rebuild what `dumps` was given. May raise whatever the user's own objects raise."""
    return pickle.loads(data, buffers=buffers)


def _dumps(
    obj: object, name: str, buffers: list[Any] | None, regions: Regions | None = None
) -> bytes:
    result = _attempt(_plain_pickler, obj, buffers, regions)
    if isinstance(result, (pickle.PicklingError, TypeError, AttributeError)):
        result = _attempt(_definition_pickler, obj, buffers)
    if isinstance(result, bytes):
        return result
    raise pickle.PicklingError(_explained(obj, name, result)) from result


def _attempt(
    make_pickler: Callable[..., pickle.Pickler], obj: object, buffers: list[Any] | None, *more: Any
) -> bytes | Exception:
    """The pickle, or why there is none."""
    callback = None
    if buffers is not None:
        buffers.clear()
        callback = buffers.append
    file = io.BytesIO()
    try:
        make_pickler(file, callback, *more).dump(obj)
    except MemoryError:  # says nothing about the object
        raise
    except Exception as error:
        return error
    return file.getvalue()


def _explained(obj: object, name: str, error: Exception) -> str:
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return f"{name} is nested too deeply to be pickled: make it flatter"
    # Not imported by a worker that has nothing to explain.
    from seqloader.executors.process.wire.culprit import find_culprit
    from seqloader.executors.process.wire.refusals import explain_batch, is_known_kind

    return explain_batch(find_culprit(obj, name, _trial_pickler, is_known_kind), error)


def _trial_pickler(file: io.BytesIO) -> pickle.Pickler:
    """One that tells what can be pickled, and copies no memory."""
    return _definition_pickler(file, lambda _: None)


class _Pickler(pickle.Pickler):
    regions: Regions | None

    def reducer_override(self, obj: Any) -> Any:
        if self.regions is not None and type(obj) is np.ndarray:
            region = self.regions.find(obj)
            if region is not None:
                return reduce_view(obj, region)
        return _reduce(obj)


def _plain_pickler(
    file: io.BytesIO, buffer_callback: Callable[[Any], Any] | None, regions: Regions | None
) -> pickle.Pickler:
    made = _Pickler(file, 5, buffer_callback=buffer_callback)
    made.regions = regions
    return made


def _definition_pickler(
    file: io.BytesIO, buffer_callback: Callable[[Any], Any] | None
) -> pickle.Pickler:
    # Imported here: most batches hold nothing that they are needed for.
    from seqloader.executors.process.wire.definitions.pickler import DefinitionPickler
    from seqloader.executors.process.wire.definitions.scope import Globals, Scope

    scope = Scope(Globals.COPIED)
    made: pickle.Pickler = DefinitionPickler(
        file, _reduce, scope=scope, buffer_callback=buffer_callback
    )
    return made


def _reduce(obj: Any) -> Any:
    """How to send `obj` where pickle's own way will not do; else NotImplemented."""
    kind = type(obj)
    reducer = _REDUCERS.get(kind.__name__)
    if reducer is not None:
        return reducer(obj)
    if numbers.came_here(obj):
        name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
        return original, (numbers.number_of(obj), getattr(obj, "__module__", None), name)
    return _reduce_subclass(obj) if issubclass(kind, np.ndarray) else NotImplemented


def _reduce_ndarray(array: Any) -> Any:
    # numpy puts what is not contiguous inside the pickle, byte by byte.
    if type(array) is not np.ndarray or array.flags.forc or not is_plain(array.dtype):
        return NotImplemented
    if array.nbytes and is_worth_overlapping(array.nbytes, extent_of(array)):
        return reduce_dense(array, np.ndarray)
    return np.ascontiguousarray(array).__reduce_ex__(5)


def _reduce_subclass(array: Any) -> Any:
    # numpy leaves out what the array has beside its elements.
    cls = type(array)
    if attributes_of(array) is None or not has_default_reduction(cls):
        return NotImplemented
    if isinstance(array, np.memmap) or not is_plain(array.dtype):
        return NotImplemented
    return with_attributes(array, reduce_dense(array, cls))


_REDUCERS: dict[str, Callable[[Any], Any]] = {
    **FAITHFUL_REDUCERS,
    "ArrayImpl": foreign.reduce_jax,
    "EagerTensor": foreign.reduce_tensorflow,
    "Tensor": foreign.reduce_torch,
    "ndarray": _reduce_ndarray,
}
"""By the type's name, since the types themselves may not be imported."""


# See Note [Classes that exist twice].


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
