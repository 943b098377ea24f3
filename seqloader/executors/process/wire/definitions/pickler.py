"""The pickler that sends definitions by value."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterable
from enum import Enum
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final

import cloudpickle

from seqloader.executors.process.wire.definitions import names, script
from seqloader.executors.process.wire.definitions.builtin import is_made_in_c
from seqloader.executors.process.wire.definitions.classes import reduce_class
from seqloader.executors.process.wire.definitions.functions import (
    is_installed,
    is_made_by_hand,
    reduce_cell,
    reduce_code,
    reduce_function,
    reduce_module,
)
from seqloader.executors.process.wire.definitions.kinds import reducer_of
from seqloader.executors.process.wire.definitions.members import reduce_member

__all__ = ["IN_WORKERS", "DefinitionPickler", "dumps"]


def dumps(obj: object, pickler: type[DefinitionPickler] | None = None) -> bytes:
    """The pickle of something small on its way to a worker: a function, with what it uses."""
    file = io.BytesIO()
    (pickler or DefinitionPickler)(file, protocol=5).dump(obj)
    return file.getvalue()


class DefinitionPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what is on its way to a worker; definitions by value (see the package)."""

    def __init__(self, file: Any, protocol: int = 5, buffer_callback: Any = None) -> None:
        super().__init__(file, protocol=protocol, buffer_callback=buffer_callback)
        self._namespaces: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        """By the id of a namespace: itself, and what stands for it in the pickle."""
        self._cells: dict[int, CellType] = {}
        """Cells that a function fills, kept alive."""
        self._reducers: dict[type, Any] = {}
        self._packages: set[str] = set()
        """Packages that a worker imports anyhow."""

    def reducer_override(self, obj: Any) -> Any:
        """How `obj` travels where pickle's and cloudpickle's own way will not do."""
        kind = type(obj)
        if issubclass(kind, type):
            return self.reduce_class(obj)
        if kind is FunctionType:
            return self.reduce_function(obj)
        if kind is CodeType:
            return reduce_code(obj)
        if kind is CellType:
            return reduce_cell(self, obj)
        if issubclass(kind, ModuleType):
            self._note_package(obj.__name__)
            return reduce_module(obj)
        if isinstance(kind, _EnumType):
            return NotImplemented if self.is_imported(kind) else reduce_member(obj)
        reducer = self._reducers.get(kind, _UNKNOWN)
        if reducer is _UNKNOWN:
            reducer = self._reducers[kind] = reducer_of(kind)
        return NotImplemented if reducer is None else reducer(obj)

    def reduce_class(self, cls: type) -> Any:
        """By value, unless a worker can import it."""
        if self.is_imported(cls):
            # The types of None, of functions and of others have no name: cloudpickle knows them.
            return super().reducer_override(cls) if cls.__module__ == "builtins" else NotImplemented
        return reduce_class(self, cls)

    def reduce_function(self, function: FunctionType) -> Any:
        """By value, unless a worker can import it."""
        return NotImplemented if self.is_imported(function) else reduce_function(self, function)

    def is_imported(self, obj: Any) -> bool:
        """Whether a worker finds a class or function by importing its module."""
        module = obj.__module__
        if module == "builtins":  # or it says so: `functools.wraps(print)`
            return isinstance(obj, type) and is_made_in_c(obj)
        if script.is_of_script(module) or script.look_up(module, obj.__qualname__) is not obj:
            return False
        if is_made_by_hand(module):
            return False
        by_value = cloudpickle.list_registry_pickle_by_value()
        if by_value and any(f"{module}.".startswith(f"{name}.") for name in by_value):
            return False
        self._note_package(module)
        return True

    def _note_package(self, module: str) -> None:
        self._packages.add(module.partition(".")[0])

    # What functions ask for.

    def namespace_of(self, namespace: dict[str, Any]) -> dict[str, Any] | str | None:
        """What stands for the globals of a function: None for the script's, a name for a module's
        that is imported, else a dict of its own for all functions that share them."""
        if script.is_script_namespace(namespace):
            return self.script_namespace()
        name = namespace.get("__name__")
        if is_installed(name) and vars(sys.modules.get(name, importlib)) is namespace:  # type: ignore[arg-type]
            self._note_package(name)  # type: ignore[arg-type]
            return name
        return self.copied_namespace(namespace)

    def copied_namespace(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """What stands for a namespace of which a worker gets a copy: it is filled by functions."""
        if id(namespace) not in self._namespaces:
            kept = ("__name__", "__package__", "__file__", "__path__")
            own = {key: namespace[key] for key in kept if key in namespace}
            self._namespaces[id(namespace)] = namespace, own
        return self._namespaces[id(namespace)][1]

    def script_namespace(self) -> dict[str, Any] | None:
        """What stands for the script's globals."""
        return None

    def globals_used(
        self, namespace: dict[str, Any], used: Iterable[str], annotated: Iterable[str]
    ) -> tuple[dict[str, Any], list[str]]:
        """Global variables to bring along for code, and names for the worker to find later."""
        if isinstance(self.namespace_of(namespace), str):
            return {}, []
        found = {name: namespace[name] for name in used if name in namespace}
        if script.is_script_namespace(namespace):
            for name in annotated:
                if name in namespace and name not in found and self.is_light(namespace[name]):
                    found[name] = namespace[name]
            if names.asks_for_all(used, namespace):
                return found, ["*"]
        return found, []

    def is_light(self, value: Any) -> bool:
        """Whether to bring along what is only named in an annotation: a library that is not
        needed otherwise would take long to import, and much memory."""
        attribute = "__name__" if isinstance(value, ModuleType) else "__module__"
        module = getattr(value, attribute, None)
        if script.is_of_script(module) or not isinstance(module, str):
            return True
        package = module.partition(".")[0]
        return package in self._packages or package in IN_WORKERS

    def expect_cells(self, cells: Iterable[CellType]) -> None:
        """Note cells that are filled by a function that is sent."""
        self._cells.update((id(cell), cell) for cell in cells)

    def expects_cell(self, cell: CellType) -> bool:
        """Whether some function fills the cell."""
        return id(cell) in self._cells


IN_WORKERS: Final = frozenset({"numpy", "seqloader", *sys.stdlib_module_names})
"""Packages that every worker has, or can import at once."""

_EnumType = type(Enum)
_UNKNOWN = object()
