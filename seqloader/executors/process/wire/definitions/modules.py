"""Modules: which of them a worker can import, and which travel as what they hold. Pure."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any, Final

from seqloader.executors.process.wire.definitions import script

__all__ = ["is_installed", "is_made_by_hand", "reduce_module"]

_LIBRARIES: Final = ("site-packages", "dist-packages")
"""Folders that installed packages lie in."""


def reduce_module(module: ModuleType) -> Any:
    """A module by its name where a worker can import it, else as what it holds."""
    name = module.__name__
    if sys.modules.get(name) is not module:
        return NotImplemented  # by value
    if script.is_of_script(name) or not is_made_by_hand(name):
        return importlib.import_module, (name,)
    held = {key: value for key, value in vars(module).items() if key != "__builtins__"}
    return ModuleType, (name,), held


def is_made_by_hand(name: str) -> bool:
    """Whether a program has put the module into `sys.modules` itself, as `runpy.run_path` does: a
    worker cannot import it."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    if type(module) is not ModuleType or vars(module).get("__spec__") is not None:
        return False
    # A module may have put another one in its own place.
    return importlib.machinery.PathFinder.find_spec(top) is None


def is_installed(name: object) -> bool:
    """Whether the name is that of a module of the standard library or of an installed package.

    A worker may import such a module for what is no attribute of it. That a module of the user's
    own is imported where it was not before would be a surprise.
    """
    if not isinstance(name, str):
        return False
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and any(f"{os.sep}{one}{os.sep}" in file for one in _LIBRARIES)
