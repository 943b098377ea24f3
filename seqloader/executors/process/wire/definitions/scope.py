"""What a worker finds by itself, and which global variables come along: for one pickle."""

from __future__ import annotations

import enum
import importlib
import sys
from collections.abc import Iterable
from types import CellType, CodeType, ModuleType
from typing import Any, Final

import cloudpickle

from seqloader.executors.process.wire.definitions import names, script
from seqloader.executors.process.wire.definitions.builtin import is_made_in_c
from seqloader.executors.process.wire.definitions.modules import is_installed, is_made_by_hand

__all__ = ["IN_WORKERS", "Globals", "Scope"]

IN_WORKERS: Final = frozenset({"numpy", "seqloader", *sys.stdlib_module_names})
"""Packages that every worker has, or can import at once."""


class Globals(enum.Enum):
    """How the script's global variables travel, with code that uses them."""

    BROUGHT = enum.auto()
    """Into the namespace of the worker's own script."""
    NAMED = enum.auto()
    """As names: the worker looks each of them up in its script."""
    COPIED = enum.auto()
    """Beside the code alone. On the way back: the consumer's script is not touched."""


class Scope:
    """What is known of one pickle's definitions as a whole: namespaces, cells, packages."""

    def __init__(self, of_script: Globals = Globals.BROUGHT) -> None:
        self._of_script = of_script
        self.named: dict[str, None] = {}
        """Global variables that travel as names."""
        self._namespaces: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        """By the id of a namespace: itself, and what stands for it in the pickle."""
        self.cells: dict[int, CellType] = {}
        """Those that a function fills which is sent, by their ids. Kept alive."""
        self.modules: set[str] = set()
        """What a worker imports anyhow."""
        self._packages: set[str] = set()
        """The packages of these."""

    def is_imported(self, obj: Any, name: object) -> bool:
        """Whether a worker finds `obj` under that name by importing its module."""
        module = script.plain_attribute(obj, "__module__")
        if module == "builtins":  # or it says so: `functools.wraps(print)`
            return isinstance(obj, type) and is_made_in_c(obj)
        if script.is_of_script(module) or script.look_up(module, name) is not obj:
            return False
        by_value = cloudpickle.list_registry_pickle_by_value()
        if is_made_by_hand(module) or any(f"{module}.".startswith(f"{it}.") for it in by_value):
            return False
        self.note_package(module)
        return True

    def note_package(self, module: str) -> None:
        """Note that a worker imports the module."""
        self.modules.add(module)
        self._packages.add(module.partition(".")[0])

    def namespace_of(self, namespace: dict[str, Any]) -> dict[str, Any] | str | None:
        """What stands for the globals of a function: None for the script's, a name for a module's
        that is imported, else a dict of its own for all functions that share them."""
        if script.is_script_namespace(namespace):
            if self._of_script is not Globals.COPIED:
                return None
            namespace = script.namespace()
        else:
            name = namespace.get("__name__")
            if is_installed(name) and vars(sys.modules.get(name, importlib)) is namespace:  # type: ignore[arg-type]
                self.note_package(name)  # type: ignore[arg-type]
                return name
        if id(namespace) not in self._namespaces:
            kept = ("__name__", "__package__", "__file__", "__path__")
            own = {key: namespace[key] for key in kept if key in namespace}
            self._namespaces[id(namespace)] = namespace, own
        return self._namespaces[id(namespace)][1]

    def needs_of(
        self, namespace: dict[str, Any], code: CodeType, annotations: object, held: Iterable[Any]
    ) -> tuple[tuple[dict[str, Any], list[str]], list[str]]:
        """What `globals_used` says of code, and submodules that it reaches by attributes of those
        packages, or of what is `held` in its cells."""
        used = names.used_by_code(code)
        values = [namespace[name] for name in used if name in namespace]
        imported = names.submodules(code, [*values, *held])
        return self.globals_used(namespace, used, annotations), imported

    def globals_used(
        self, namespace: dict[str, Any], used: Iterable[str], annotations: object
    ) -> tuple[dict[str, Any], list[str]]:
        """Global variables to bring along for code, and names for the worker to find later."""
        home = self.namespace_of(namespace)
        if isinstance(home, str):
            return {}, []
        found = {name: namespace[name] for name in used if name in namespace}
        if home is not None:
            return found, []
        for name in names.used_by_annotations(annotations):
            if name in namespace and self._is_light(namespace[name]):
                found[name] = namespace[name]
        later = ["*"] if names.asks_for_all(used, namespace) else []
        if self._of_script is Globals.BROUGHT:
            return found, later
        self.named.update(dict.fromkeys(found))
        return {}, [*found, *later]

    def _is_light(self, value: Any) -> bool:
        """Whether to bring along what is only named in an annotation: a library that is not
        needed otherwise would take long to import, and much memory."""
        attribute = "__name__" if isinstance(value, ModuleType) else "__module__"
        module = getattr(value, attribute, None)
        if script.is_of_script(module) or not isinstance(module, str):
            return True
        package = module.partition(".")[0]
        return package in self._packages or package in IN_WORKERS
