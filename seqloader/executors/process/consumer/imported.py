"""What this process has imported: from where, for workers; and in which state of the source."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
from typing import TYPE_CHECKING, Final

from seqloader.executors import origin
from seqloader.executors.process.wire.imports import Imports

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Sources", "imported_files", "imports"]

_NOT_BY_NAME: Final = frozenset({"__main__", "__mp_main__"})
"""A worker's own are others."""

_NOT_EDITED: Final = tuple(os.path.dirname(f"{one.__file__}") + os.sep for one in (os, origin))
"""The standard library, and seqloader itself."""
_MOST_SOURCES: Final = 2000
"""Files that are looked at, some microseconds for each."""


def imports(imported: Iterable[tuple[str, str]]) -> Imports:
    """Where a worker that starts now looks for modules, of which these are imported."""
    path = [path for entry in sys.path if isinstance(entry, str) for path in _absolute(entry)]
    return Imports(path, {name: file for name, file in imported if "." not in name})


def imported_files() -> list[tuple[str, str]]:
    """Every imported module that lies in a file, and that file."""
    found = []
    look = object.__getattribute__  # what stands there may answer everything, or load itself for it
    for name, module in list(sys.modules.items()):
        try:
            spec = look(module, "__dict__").get("__spec__")
        except Exception:
            continue
        if not isinstance(spec, importlib.machinery.ModuleSpec) or not spec.has_location:
            continue
        file = spec.origin
        # Under another's name is an alias: a second copy would be another module.
        if spec.name == name and isinstance(file, str) and name not in _NOT_BY_NAME:
            if not file.startswith(os.sep):
                file = next(reversed(_absolute(file)), file)
            found.append((name, file))
    return found


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

    def __init__(self, imported: Iterable[tuple[str, str]]) -> None:
        self._known: dict[str, tuple[str, tuple[int, int]]] = {}
        """Module and facts, by file."""
        own = [
            (name, file)
            for name, file in imported
            if not file.startswith(_NOT_EDITED)
            and "/site-packages/" not in file
            and "/dist-packages/" not in file
        ]
        for name, file in own[:_MOST_SOURCES]:
            with contextlib.suppress(OSError):  # inside an archive
                self._known[file] = name, _facts(file)

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
