"""docs/architecture/beyond-promises.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from private_names import Use, foreign_private_names

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/architecture/beyond-promises.md"
TESTS: Final = sorted(Path(__file__).parent.glob("test_what_we_rely_on_*.py"))


class Line(NamedTuple):
    what: str
    used_in: str
    why: str
    when_it_goes: str
    test: str

    def names(self, column: str) -> list[str]:
        return re.findall(r"`([^`]+)`", column)


def lines() -> list[Line]:
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("|")]
    return [Line(*(cell.strip() for cell in row.strip("|").split("|"))) for row in rows[2:]]


LINES: Final = lines()


def listed() -> set[Use]:
    return {
        Use(file, name)
        for line in LINES
        for file in line.names(line.used_in)
        for name in line.names(line.what)
    }


def test_every_private_name_that_is_taken_from_elsewhere_is_listed():
    used = foreign_private_names(ROOT, "seqloader")

    assert sorted(used - listed()) == []


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.what)
def test_what_is_listed_is_used_there_and_has_its_tests(line):
    tests = "".join(path.read_text(encoding="utf-8") for path in TESTS)
    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))

    for file in line.names(line.used_in):
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in line.names(line.what):
            assert name in text
    assert line.names(line.used_in)
    assert line.names(line.test)
    assert set(line.names(line.test)) <= defined


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import threading\nthreading._limbo", ["_limbo"]),
        ("import threading as t\nt._limbo", ["_limbo"]),
        ("from threading import _limbo", ["_limbo"]),
        ("from torch._C import Generator", ["_C"]),
        ("def f(lock): return lock._is_owned()", ["_is_owned"]),
        ("def f(lock): return getattr(lock, '_is_owned', None)", ["_is_owned"]),
        ("class A:\n    def _own(self): return self._own()", []),
        ("import threading\ndef _limbo(): return threading._limbo", ["_limbo"]),
        ("import os\nos._exit(0)", []),
    ],
)
def test_private_names_are_found(tmp_path, code, names):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text(code)

    found = foreign_private_names(tmp_path, "package")

    assert [use.name for use in sorted(found)] == names
