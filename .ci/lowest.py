"""Prints the lowest version of each dependency that pyproject.toml admits, as pip takes it.

Usage: python .ci/lowest.py EXTRA...

Of the dependencies and of these extras (with the extras that they name), `name>=version` becomes
`name==version`. So there is one list of bounds, and an environment of this list shows that they are
true: what needs a newer version fails there.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def main(extras: list[str]) -> None:
    """Print the requirements, one a line."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for requirement in dict.fromkeys(_requirements(project, extras)):
        print(_lowest(requirement))


def _requirements(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    yield from project["dependencies"]
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if own:
                yield from _requirements(project, [name.strip() for name in own[1].split(",")])
            else:
                yield requirement


def _lowest(requirement: str) -> str:
    bound = re.fullmatch(r"([\w.-]+)>=([\w.]+)(,<[\w.]+)?", requirement)
    if bound is None:
        raise SystemExit(f"{requirement!r} in {PYPROJECT.name} has no lower bound of its own")
    return f"{bound[1]}=={bound[2]}"


if __name__ == "__main__":
    main(sys.argv[1:])
