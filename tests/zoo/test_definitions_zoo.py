"""What `__getitem__` returns does not depend on where it runs: scripts full of definitions."""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path

import pytest
from interpreter import run_python

HERE = Path(__file__).parent
SCRIPTS = ("script_of_definitions", "script_of_odd_definitions")


@functools.cache
def answers_of(script: str) -> dict[str, dict[str, str]]:
    done = run_python("-W", "ignore", HERE / f"{script}.py")
    assert done.returncode == 0, done.stderr
    answers: dict[str, dict[str, str]] = json.loads(done.stdout)
    return answers


def cases_of(script: str) -> list[str]:
    """The keys of its CASES, without running it."""
    tree = ast.parse((HERE / f"{script}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CASES":
            assert isinstance(node.value, ast.Dict)
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise AssertionError(f"{script} has no CASES")


RAISING = ("abc", "abcreg", "builtin_subs", "compared", "config", "desc")
"""Cases that show an exception."""

ALL = [pytest.param(script, case, id=case) for script in SCRIPTS for case in cases_of(script)]


@pytest.mark.parametrize(("script", "case"), ALL)
def test_a_definition_of_a_script_is_in_a_worker_what_it_is_in_the_script(script, case):
    answers = answers_of(script)

    expected = answers["inline"][case]
    assert answers["spawn"][case] == expected
    assert answers["fork"][case] == expected
    assert "Error: " not in expected or case in RAISING
