"""Which global names and which submodules code uses. Pure."""

from __future__ import annotations

import dis
import re
import sys
import weakref
from collections.abc import Iterable, Iterator
from types import CodeType, GenericAlias, ModuleType
from typing import Any, Final, ForwardRef

__all__ = ["asks_for_all", "submodules", "used_by_annotations", "used_by_code"]

_OPERATIONS: Final = frozenset(
    {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
)
"""LOAD_NAME, because the body of a class inside a function reads global variables by it."""

_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*")

_used: weakref.WeakKeyDictionary[CodeType, tuple[str, ...]] = weakref.WeakKeyDictionary()


def used_by_code(code: CodeType) -> tuple[str, ...]:
    """Names that the code, or code nested in it, reads or writes as global variables."""
    found = _used.get(code)
    if found is None:
        instructions = (one for part in _nested(code) for one in dis.get_instructions(part))
        used = (one.argval for one in instructions if one.opname in _OPERATIONS)
        found = _used[code] = tuple(dict.fromkeys(used))
    return found


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code itself, and all code inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def used_by_annotations(annotations: object) -> list[str]:
    """Names in those annotations, or parts of annotations, that are text."""
    if not isinstance(annotations, dict):
        return []
    texts = (text for value in annotations.values() for text in _texts(value))
    return list(dict.fromkeys(name for text in texts for name in _IDENTIFIER.findall(text)))


def _texts(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, str):
        yield annotation
    elif isinstance(annotation, ForwardRef):
        yield annotation.__forward_arg__
    elif not isinstance(annotation, type) or isinstance(annotation, GenericAlias):
        arguments = getattr(annotation, "__args__", ())
        for part in arguments if isinstance(arguments, tuple) else ():
            yield from _texts(part)


def asks_for_all(names: Iterable[str], there: dict[str, Any]) -> bool:
    """Whether code with these global names may use any other: through `globals()` and its like."""
    return any(name in names and name not in there for name in ("globals", "eval", "exec"))


def submodules(code: CodeType, values: Iterable[Any]) -> list[str]:
    """Submodules that code reaches as attributes of the packages among `values`.

    `scipy.stats.norm` names only `scipy`; that somebody has imported `scipy.stats` is what makes it
    work.
    """
    modules = (value for value in values if isinstance(value, ModuleType))
    packages = [module.__name__ for module in modules if "__path__" in vars(module)]
    if not packages:
        return []
    attributes = {name for part in _nested(code) for name in part.co_names}
    found: dict[str, None] = {}
    while packages:
        package = packages.pop()
        for attribute in attributes:
            name = f"{package}.{attribute}"
            if name not in found and isinstance(sys.modules.get(name), ModuleType):
                found[name] = None
                packages.append(name)
    return sorted(found)
