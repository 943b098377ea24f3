"""The user's own modules come along by their source; libraries do not."""

from __future__ import annotations

import importlib
import sys
import traceback

import numbered
import pytest

from seqloader.executors.ray.sources import find_sources, install


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package of the user's own, with a module that is not imported yet, and a namespace."""
    package = tmp_path / "own_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("VALUE = 1\n")
    (package / "later.py").write_text("from . import VALUE\ndef fail():\n    raise KeyError('x')\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "deep.py").write_text("DEEP = 2\n")
    (package / "data.txt").write_text("no module")
    (tmp_path / "own_namespace").mkdir()
    (tmp_path / "own_namespace" / "part.py").write_text("PART = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("own_package")
    importlib.import_module("own_namespace.part")
    yield tmp_path
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith(("own_package", "own_names"))]:
        del sys.modules[name]


def test_modules_of_the_users_own_are_found_with_all_of_their_packages(own):
    found = find_sources()

    assert {name for name in found if name.startswith("own_")} == {
        "own_package", "own_package.later", "own_package.inner", "own_package.inner.deep",
        "own_namespace", "own_namespace.part",
    }  # fmt: skip
    assert found["own_package"].is_package
    assert not found["own_package.later"].is_package
    assert found["numbered"].file == numbered.__file__


def test_libraries_and_seqloader_itself_stay_where_they_are(own):
    found = find_sources()

    assert not {"numpy", "os", "pytest", "seqloader", "__main__"} & found.keys()
    assert not any(name.startswith(("numpy.", "seqloader.")) for name in found)


def test_what_was_sent_is_imported_where_there_are_no_files(own, monkeypatch):
    sent = {name: one for name, one in find_sources().items() if name.startswith("own_")}
    forget()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(own)])
    (own / "own_package" / "__init__.py").write_text("VALUE = 'what this machine has'\n")

    install(sent, ["/nowhere", str(own / "own_package")])

    later = importlib.import_module("own_package.later")
    assert later.VALUE == 1
    assert importlib.import_module("own_package.inner.deep").DEEP == 2
    assert importlib.import_module("own_namespace.part").PART == 3
    assert sys.modules["own_package"].__file__ == str(own / "own_package" / "__init__.py")
    assert "/nowhere" not in sys.path
    assert str(own / "own_package") in sys.path


def test_a_traceback_shows_lines_of_what_was_sent(own, monkeypatch):
    sent = {name: one for name, one in find_sources().items() if name.startswith("own_")}
    forget()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    install(sent, [])
    (own / "own_package" / "later.py").unlink()

    with pytest.raises(KeyError) as raised:
        importlib.import_module("own_package.later").fail()

    assert "raise KeyError('x')" in "".join(traceback.format_exception(raised.value))
