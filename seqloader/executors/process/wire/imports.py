"""How a worker imports: what the consumer has imported, from where the consumer has it.

`sys.path` alone will not do. A script may have added a directory with a `select.py` of its own long
after the right one was imported; it may have changed its directory, and '' means another one now;
an editable install's finder, or a module that was loaded from a file of another name, is on no
path at all. So a worker is told where each module lies. Everything else it finds as usual.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Imports", "begin"]


class Imports(NamedTuple):
    """Where a worker looks for modules. Plain values only: it travels by `marshal`."""

    path: list[str]
    """`sys.path`, without relative entries."""
    files: dict[str, str]
    """Top-level modules that the consumer has imported, and the file of each."""


def begin(path: list[str], files: dict[str, str]) -> None:
    """Import from there, from now on. The first act of a fresh interpreter.

    It runs before anything of seqloader can be imported: as a code object, with no globals. What
    it imports itself is in every interpreter, by then or built in, and is not searched for.
    """
    import _frozen_importlib_external as external
    import gc
    import os
    import sys

    gc.disable()  # until `enter`: what is imported until then is no garbage
    sys.path[:] = path

    class Imported:
        """Finds what the consumer has imported; gone from there, it is looked for as usual."""

        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if path is not None:  # inside a package, whose own path is right
                return None
            # Each is answered once: a package that puts its own folder on the path and imports
            # its name again (OpenCV does) wants what is in there.
            file = files.pop(name, None)
            if file is None or not os.path.isfile(file):
                return None
            folder, base = os.path.split(file)
            inside = [folder] if base.startswith("__init__.") else None
            return external.spec_from_file_location(name, file, submodule_search_locations=inside)

    # Finders that were installed before Python's own (by a `.pth` file) stay before it.
    finders: list[Any] = sys.meta_path
    found = external.PathFinder in finders
    finders.insert(finders.index(external.PathFinder) if found else len(finders), Imported)
