"""Folders of tests are found by one path: two modules of one name would be one of them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

IN_A_PACKAGE = {"run/stand_ins.py"}
"""Imported as `run.stand_ins`, from the folder above."""


def test_no_two_modules_of_tests_and_scripts_have_one_name() -> None:
    tests = REPOSITORY / "tests"
    named = defaultdict(list)
    for path in [*tests.rglob("*.py"), *(REPOSITORY / "benchmarks").glob("*.py")]:
        is_package = (path.parent / "__init__.py").exists()
        own = not path.is_relative_to(tests) or str(path.relative_to(tests)) not in IN_A_PACKAGE
        if own and not is_package and path.name != "conftest.py":
            named[path.name].append(str(path.relative_to(REPOSITORY)))

    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}
