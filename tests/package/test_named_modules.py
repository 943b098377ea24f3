"""Modules and files that comments and pages name are there, and so is what they name in them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

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
    """Whether the name can be found: modules are imported as far as they are modules."""
    module, *inside = dotted.split(".")
    found: Any = importlib.import_module(module)
    for name in inside:
        if not hasattr(found, name) and hasattr(found, "__path__"):
            module = f"{found.__name__}.{name}"
            try:
                importlib.import_module(module)
            except ImportError as error:
                return error.name != module  # it is there, and needs what is not installed
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


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
