"""What this process has imported: from where, for workers; and in which state of the source."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from seqloader import origin
from seqloader.executors.process.wire.imports import Imports

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Sources", "imports"]

_NOT_BY_NAME: Final = frozenset({"__main__", "__mp_main__"})
"""A worker's own are others."""

_LIBRARIES: Final = ("/site-packages/", "/dist-packages/", f"{os.path.dirname(os.__file__)}/")
_MOST_SOURCES: Final = 2000
"""Files that are looked at, some microseconds for each."""


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
    return [path for entry in sys.path if isinstance(entry, str) for path in _absolute(entry)]


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


class Sources:
    """The files of the user's own modules, as they are now. (Libraries are not edited.)

    A worker imports from them when it starts: one that replaces another later gets what is in them
    by then, while this process, and the other workers, have what was there before.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, tuple[int, int]]] = {}
        """Module and facts, by file."""
        for name, file in imported_files():
            if not any(part in file for part in _LIBRARIES):
                with contextlib.suppress(OSError):  # inside an archive
                    self._known[file] = name, _facts(file)
            if len(self._known) >= _MOST_SOURCES:
                break

    def edited(self) -> list[tuple[str, str]]:
        """Modules that are not as they were, and their files. Each is told once."""
        found = []
        for file, (name, facts) in list(self._known.items()):
            try:
                same = _facts(file) == facts
            except OSError:  # gone, or on its way back from an editor
                continue
            if not same:
                del self._known[file]
                found.append((name, file))
        return found


def _facts(file: str) -> tuple[int, int]:
    facts = os.stat(file)
    return facts.st_mtime_ns, facts.st_size
