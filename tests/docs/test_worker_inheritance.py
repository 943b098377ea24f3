"""What the page "What does a worker inherit?" says is what a worker finds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/what-does-a-worker-inherit.md"
PROBE = Path(__file__).parent / "inheritance_probe.py"

SAID = {
    row["name"]: {"spawn": row["spawn"] == "yes", "fork": row["fork"] == "yes"}
    for row in re.finditer(
        r"^\| (?P<name>[^|]+?) \| (?P<spawn>yes|no)\b[^|]*\| (?P<fork>yes|no)\b[^|]*\|",
        PAGE.read_text(encoding="utf-8").replace("`", ""),
        re.MULTILINE,
    )
}


@pytest.fixture(scope="module", params=["spawn", "fork"])
def found(request, tmp_path_factory):
    """The start method, and what a worker found."""
    folder = tmp_path_factory.mktemp("inheritance")
    script = shutil.copy(PROBE, folder)
    (folder / "borrowed.py").write_text("value = 'before'\n")
    for place in ("first", "second"):
        (folder / place).mkdir()
        (folder / place / "moved.py").write_text(f"value = {place!r}\n")
    command = [sys.executable, "-O", "-W", "error::BytesWarning", script, request.param]
    printed = subprocess.run(
        command, input="text\n", capture_output=True, text=True, timeout=60, check=True
    ).stdout
    return request.param, json.loads(printed)


@pytest.mark.parametrize("name", SAID)
def test_worker_inherits_what_the_page_says(name, found):
    method, facts = found

    assert facts[name] is SAID[name][method]


def test_page_and_probe_tell_of_the_same_things(found):
    _, facts = found

    assert set(facts) == set(SAID)
