"""What this process has imported: from where, for workers; and in which state of the source."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from seqloader import origin
from seqloader.executors.process.wire.imports import Imports

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["imports"]

_NOT_BY_NAME: Final = frozenset({"__main__", "__mp_main__"})
"""A worker's own are others."""


def imports() -> Imports:
    """Where a worker that starts now looks for modules."""
    places: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for name, file in imported_files():
        if "." in name:
            continue
        entry = _entry(name, file)
        if entry:
            places.setdefault(entry, []).append(name)
        else:
            files[name] = file
    return Imports(_path(), places, files)


def imported_files() -> Iterator[tuple[str, str]]:
    """Every imported module that lies in a file, and that file."""
    for name, module in list(sys.modules.items()):
        spec = _spec(module)
        # Under another's name is an alias: a second copy would be another module.
        if spec is None or name in _NOT_BY_NAME or spec.name != name or not spec.has_location:
            continue
        if isinstance(spec.origin, str):
            yield name, next(reversed(_absolute(spec.origin)), spec.origin)


def _spec(module: Any) -> importlib.machinery.ModuleSpec | None:
    # Not `getattr`: what stands in `sys.modules` may answer everything, or load itself for that.
    try:
        spec = object.__getattribute__(module, "__dict__").get("__spec__")
    except Exception:
        return None
    return spec if isinstance(spec, importlib.machinery.ModuleSpec) else None


def _entry(name: str, file: str) -> str | None:
    """The entry of a path under which `file` is the module of that name, if it can be one."""
    folder, base = os.path.split(file)
    if base.startswith("__init__."):
        folder, base = os.path.split(folder)
    return folder if base.partition(".")[0] == name else None


def _path() -> list[str]:
    return [
        path for entry in sys.path if isinstance(entry, str) for path in _absolute(entry)
    ]


def _absolute(path: str) -> list[str]:
    """What a relative path means: from here, as for this process's next import; and from where the
    program was when it imported what it has imported."""
    if os.path.isabs(path):
        return [path]
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was deleted: nothing can be imported from there
        here = None
    bases = dict.fromkeys(base for base in (here, origin.DIRECTORY) if base is not None)
    return [os.path.join(base, path) if path else base for base in bases]
