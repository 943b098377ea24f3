"""Modules and files that comments and pages name are there, and so is what they name in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted((REPOSITORY / "seqloader").rglob("*.py"))
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "pyproject.toml",
    *sorted(page for page in (REPOSITORY / "docs").rglob("*.md") if page.name != "changelog.md"),
]
ABOUT_OURSELVES = [
    *SOURCES,
    REPOSITORY / "docs" / "contributing.md",
    *(REPOSITORY / "docs" / "architecture").glob("*.md"),
]
OF_OTHERS = {
    "data.py",
    "file.py",
    "importlib/__init__.py",
    "path/to/file.py",
    "select.py",
    "struct.py",
}
"""Files of Python, and of whoever reads."""


def said_in(paths: list[Path], pattern: str) -> dict[str, list[str]]:
    """What matches the pattern -> the files in which it stands."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for match in re.findall(pattern, path.read_text()):
            found.setdefault(match, []).append(str(path.relative_to(REPOSITORY)))
    return found


def is_there(dotted: str) -> bool:
    """Whether the source defines it. Nothing is imported: an adapter would bring its framework."""
    path, names = REPOSITORY, dotted.split(".")
    while names and (path / names[0]).is_dir():
        path /= names.pop(0)
    if names and (path / f"{names[0]}.py").is_file():
        return _defines((path / f"{names[0]}.py").read_text(), names[1:])
    return _defines((path / "__init__.py").read_text(), names)


def _defines(source: str, names: list[str]) -> bool:
    body: list[ast.stmt] = ast.parse(source).body
    for depth, name in enumerate(names):
        for node in _statements(body):
            if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
                return is_there(".".join([node.module or "", *names[depth:]]))
            if name in _names_of(node):
                body = getattr(node, "body", [])
                break
        else:
            return False
    return True


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a body, also under an `if TYPE_CHECKING`."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements(node.body)


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def test_names_of_the_package_that_are_said_are_there():
    said = said_in([*SOURCES, *PAGES], r"\bseqloader(?:\.[A-Za-z_]\w*)+")

    assert len(said) > 100
    assert {name: where for name, where in said.items() if not is_there(name)} == {}


def test_files_that_are_said_are_there():
    files = [
        str(path.relative_to(REPOSITORY))
        for folder in ("seqloader", "tests", "benchmarks", ".ci")
        for path in (REPOSITORY / folder).rglob("*.py")
    ]
    said = said_in(ABOUT_OURSELVES, r"(?<![\w./])((?:[\w.]+/)*\w+\.py)\b")

    missing = {
        name: where
        for name, where in said.items()
        if not any(f"/{file}".endswith(f"/{name}") for file in files)
    }

    assert missing.keys() <= OF_OTHERS


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("seqloader", True),
        ("seqloader.OrderedEnqueuer.get", True),
        ("seqloader.order.plan.Plan", True),
        ("seqloader.order.plan.Span", False),
        ("seqloader.order.nowhere", False),
        ("seqloader.sequence.base.wrapped_by", False),
    ],
)
def test_a_name_is_found_where_it_is(name, there):
    assert is_there(name) == there
