"""Every Python example in README and docs runs, and prints what the page says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fenced import SEPARATOR, Script, examples_in, first_block_after

REPOSITORY = Path(__file__).parent.parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
LIMIT_S = 120
"""For what hangs: a training takes a quarter of a minute, and more beside other programs."""


def scripts():
    for page in PAGES:
        for script in examples_in(page):
            marks = [pytest.mark.torch] if "torch" in script.needs else []
            name = f"{page.relative_to(REPOSITORY)}:{script.line}"
            yield pytest.param(script, marks=marks, id=name)


@pytest.mark.limit(LIMIT_S + 30)
@pytest.mark.parametrize("script", [*scripts()])
def test_example_runs_as_pasted_and_prints_what_the_page_says(script: Script, tmp_path: Path):
    for module in script.needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the example needs {module}")
    path = tmp_path / "example.py"
    path.write_text(script.source, encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.split(f"{SEPARATOR}\n")
    for part, said in zip(printed, script.outputs, strict=True):
        if said is not None:
            assert agrees(part, said), f"the page says\n{said}\nand it printed\n{part}"


def agrees(printed: str, said: str) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in said.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def test_no_python_block_is_overlooked():
    written = {page: page.read_text(encoding="utf-8").count("```python\n") for page in PAGES}
    found = {page: sum(len(script.parts) for script in examples_in(page)) for page in PAGES}

    assert found == written
    assert sum(found.values()) > 20


def test_readme_gives_the_test_command_that_ci_runs():
    command = first_block_after(REPOSITORY / "README.md", "test-command")

    assert command == (
        'python3 -m venv .venv && .venv/bin/pip install -q -e ".[test]" '
        "&& .venv/bin/python -m pytest -n 2\n"
    )


def test_an_output_that_differs_is_noticed():
    assert agrees("batch 3 by pid 4711\n", "batch 3 by pid ...\n")
    assert not agrees("batch 4 by pid 4711\n", "batch 3 by pid ...\n")
