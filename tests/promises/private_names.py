"""The private names that a tree of source files takes from what is not its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Use", "foreign_private_names"]

DOCUMENTED: Final = frozenset(
    # Private only by their looks: the manual describes them.
    {"_asdict", "_exit", "_fields", "_make", "_replace"}  # of named tuples, and of os
    | {"_current_frames", "_getframe"}  # of sys; CPython only, as we are
)

_ATTRIBUTE_CALLS: Final = ("delattr", "getattr", "hasattr", "setattr")


@dataclass(frozen=True, order=True)
class Use:
    file: str
    name: str


def foreign_private_names(root: Path, package: str) -> set[Use]:
    """Uses of names that begin with one underscore, and that no file of the package defines."""
    trees = {
        str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((root / package).rglob("*.py"))
    }
    own = {name for tree in trees.values() for name in _defined(tree)}
    return {
        Use(file, name)
        for file, tree in trees.items()
        for name, is_foreign in _used(tree, package)
        if is_foreign or name not in own
    }


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED | {"_"}


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.Assign) and "__slots__" in map(ast.unparse, node.targets):
            yield from ast.literal_eval(node.value)


def _used(tree: ast.AST, package: str) -> Iterator[tuple[str, bool]]:
    """Each private name that is asked of something, and whether that is surely not ours."""
    modules = _foreign_names(tree, package)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_foreign(node, package):
            for name in (*(node.module or "").split("."), *(alias.name for alias in node.names)):
                if _is_private(name):
                    yield name, True
        elif isinstance(node, ast.Attribute) and _is_private(node.attr):
            yield node.attr, isinstance(node.value, ast.Name) and node.value.id in modules
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in _ATTRIBUTE_CALLS:
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and _is_private(str(name.value)):
                yield str(name.value), False


def _foreign_names(tree: ast.AST, package: str) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) or (
            isinstance(node, ast.ImportFrom) and _is_foreign(node, package)
        ):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found - {package}


def _is_foreign(node: ast.ImportFrom, package: str) -> bool:
    module = node.module or ""
    return not node.level and module.partition(".")[0] not in (package, "__future__")
