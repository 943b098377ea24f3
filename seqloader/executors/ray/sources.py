"""The user's own modules, on their way to machines that do not have them.

Installed packages are there: whoever runs a cluster sees to that. What lies beside a script, or in
a package that is being worked on, is not; so its source comes along, and an actor imports from
that, before anything that its machine has under the name: batches are computed by the consumer's
code.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.consumer.imported import imported_files
from seqloader.executors.process.wire.definitions.modules import is_installed
from seqloader.executors.ray.records import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

__all__ = ["find_sources", "install"]

_MOST_FILES: Final = 2000
"""Of packages, beside what is imported already."""


def find_sources() -> dict[str, Source]:
    """Every module of the user's own that this process has imported, and whatever else lies in the
    packages of these, by name."""
    found: dict[str, Source] = {}
    imported = [(name, file) for name, file in imported_files() if _is_own(name, file)]
    beside = [each for name, file in imported for each in _inside(name, file)]
    for name, file in [*imported, *beside[:_MOST_FILES]]:
        if name not in found:
            try:
                with open(file, "rb") as opened:
                    text = opened.read()
            except OSError:  # inside an archive, or gone
                continue
            found[name] = Source(file, text, os.path.basename(file) == "__init__.py")
    _add_namespaces(found)
    return found


def _is_own(name: str, file: str) -> bool:
    ours = name.partition(".")[0] == __name__.partition(".")[0]
    return file.endswith(".py") and not ours and not is_installed(name)


def _inside(name: str, file: str) -> Iterator[tuple[str, str]]:
    """Modules of a package that are not imported yet: `__getitem__` may do so."""
    folder, base = os.path.split(file)
    if base != "__init__.py":
        return
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return
    for entry in entries:
        path, (stem, ending) = os.path.join(folder, entry), os.path.splitext(entry)
        if ending == ".py" and stem.isidentifier() and stem != "__init__":
            yield f"{name}.{stem}", path
        elif entry.isidentifier() and os.path.isfile(inner := os.path.join(path, "__init__.py")):
            yield f"{name}.{entry}", inner
            yield from _inside(f"{name}.{entry}", inner)


def _add_namespaces(found: dict[str, Source]) -> None:
    """Packages without an `__init__.py`, which are in no file."""
    for name in list(found):
        file = found[name].file
        while "." in name:
            name = name.rpartition(".")[0]
            file = os.path.dirname(file)
            found.setdefault(name, Source(os.path.join(file, "__init__.py"), b"", True))


# --- in the actor ---------------------------------------------------------------------------------


def install(sources: Mapping[str, Source], path: Iterable[str]) -> None:
    """Import from there, from now on."""
    sys.meta_path.insert(0, _Sent(sources))
    sys.path.extend(one for one in path if one not in sys.path and os.path.isdir(one))


class _Sent(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads modules whose source was sent."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        source = self._sources.get(name)
        if source is None:
            return None
        # Compiled modules of a package are found in its folder, on machines that have that.
        inside = [os.path.dirname(source.file)] if source.is_package else None
        return importlib.util.spec_from_file_location(
            name, source.file, loader=self, submodule_search_locations=inside
        )

    def get_source(self, name: str) -> str:
        """For `linecache`, so that tracebacks show lines."""
        return importlib.util.decode_source(self._sources[name].text)

    def is_package(self, name: str) -> bool:
        return self._sources[name].is_package

    def get_filename(self, name: str) -> str:
        return self._sources[name].file

    def get_code(self, name: str) -> Any:
        source = self._sources[name]
        return self.source_to_code(source.text, source.file)
