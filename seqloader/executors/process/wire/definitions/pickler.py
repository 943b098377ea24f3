"""The pickler that sends definitions by value."""

from __future__ import annotations

import io
from collections.abc import Callable
from enum import Enum
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final

import cloudpickle

from seqloader.executors.process.wire.definitions.classes import reduce_class
from seqloader.executors.process.wire.definitions.functions import (
    reduce_cell,
    reduce_code,
    reduce_function,
)
from seqloader.executors.process.wire.definitions.kinds import KNOWN_BY_NAME, reducer_of
from seqloader.executors.process.wire.definitions.members import reduce_member
from seqloader.executors.process.wire.definitions.modules import reduce_module
from seqloader.executors.process.wire.definitions.scope import Scope

__all__ = ["DefinitionPickler", "Reducer", "dumps"]

Reducer = Callable[[Any], Any]
"""How an object travels, as `reducer_override` says it; NotImplemented: in the usual way."""

_EnumType: Final = type(Enum)


def _reduce_nothing(_: Any) -> Any:
    return NotImplemented


def dumps(obj: object, first: Reducer = _reduce_nothing) -> bytes:
    """The pickle of something small on its way to a worker: a function, with what it uses."""
    file = io.BytesIO()
    DefinitionPickler(file, first).dump(obj)
    return file.getvalue()


class DefinitionPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what is on its way to a worker, or back; definitions by value (see the package).

    Args:
        first: asked how an object travels, before anything else is.
        scope: of the definitions; one for each pickle.
    """

    def __init__(
        self,
        file: io.BytesIO,
        first: Reducer = _reduce_nothing,
        *,
        scope: Scope | None = None,
        buffer_callback: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._first = first
        self._scope = scope or Scope()
        self._reducers: dict[type, Reducer | None] = {}

    def modules(self) -> frozenset[str]:
        """What has to be imported to load what was pickled."""
        return frozenset(self._scope.modules)

    def reducer_override(self, obj: Any) -> Any:
        """How `obj` travels where pickle's and cloudpickle's own way will not do."""
        reduced = self._first(obj)
        if reduced is not NotImplemented:
            return reduced
        scope = self._scope
        kind = type(obj)
        if issubclass(kind, type):
            if not scope.is_imported(obj, obj.__qualname__):
                return reduce_class(scope, obj)
            # The types of None, of functions and of others have no name: cloudpickle knows them.
            return super().reducer_override(obj) if obj.__module__ == "builtins" else NotImplemented
        if kind is FunctionType:
            imported = scope.is_imported(obj, obj.__qualname__)
            return NotImplemented if imported else reduce_function(scope, obj)
        if kind is CodeType:
            return reduce_code(obj)
        if kind is CellType:
            return reduce_cell(scope, obj)
        if issubclass(kind, ModuleType):
            scope.note_package(obj.__name__)
            return reduce_module(obj)
        if isinstance(kind, _EnumType):
            imported = scope.is_imported(kind, kind.__qualname__)
            return NotImplemented if imported else reduce_member(obj)
        if kind not in self._reducers:
            self._reducers[kind] = reducer_of(kind)
        reducer = self._reducers[kind]
        if reducer is None:
            return NotImplemented
        if kind in KNOWN_BY_NAME:
            name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
            if scope.is_imported(obj, name):
                return NotImplemented
        return reducer(obj)
