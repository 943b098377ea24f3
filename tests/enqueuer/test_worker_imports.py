"""What workers import: what the consumer has imported, from where, and in which state."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import types
import warnings
import zipfile

import pytest
from interpreter import run_python
from sequences_for_tests import Once

from seqloader import OrderedEnqueuer, Sequence
from seqloader.executors.process.consumer.imported import Sources, imported_files, imports

BATCHES = """
    from seqloader import OrderedEnqueuer, Sequence

    class Looks(Sequence):
        def __init__(self, look):
            self.look = look
        def __len__(self):
            return 1
        def __getitem__(self, index):
            return self.look()

    def batch(look):
        with OrderedEnqueuer(Looks(look), workers=1) as enqueuer:
            [found] = enqueuer
        return found
"""


def run(script, cwd, *flags):
    code = textwrap.dedent(BATCHES) + textwrap.dedent(script)
    done = run_python(*flags, "-c", code, cwd=cwd)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path):
    """A program's directory, with modules, and another beside it."""
    (tmp_path / "here.py").write_text("VALUE = 'here'\n")
    (tmp_path / "later.py").write_text("VALUE = 'later'\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("VALUE = 'helper'\n")
    (tmp_path / "lib" / "package").mkdir()
    (tmp_path / "lib" / "package" / "__init__.py").write_text("VALUE = 'package'\n")
    (tmp_path / "lib" / "package" / "inner.py").write_text("VALUE = 'inner'\n")
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


# --- Another directory --------------------------------------------------------------------


def test_modules_of_a_relative_path_are_found_after_a_change_of_directory(folder):
    found = run(
        """
        import os, sys
        sys.path.insert(0, "lib")
        import here, helper, package.inner
        os.chdir("elsewhere")
        def look():
            return here.VALUE, helper.VALUE, package.inner.VALUE, os.path.basename(os.getcwd())
        print(*batch(look))
        """,
        folder,
    )

    assert found == "here helper inner elsewhere"


def test_a_worker_may_import_from_the_old_directory_what_nobody_has_imported_yet(folder):
    found = run(
        """
        import os, sys
        sys.path.insert(0, "lib")
        os.chdir("elsewhere")
        def look():
            import helper, later
            return helper.VALUE, later.VALUE
        print(*batch(look))
        """,
        folder,
    )

    assert found == "helper later"


def test_what_the_new_directory_has_comes_first_as_for_the_consumers_own_imports(folder):
    (folder / "elsewhere" / "later.py").write_text("VALUE = 'new'\n")
    found = run(
        """
        import os
        os.chdir("elsewhere")
        def look():
            import later
            return later.VALUE
        print(batch(look), look())
        """,
        folder,
    )

    assert found == "new new"


def test_a_directory_that_is_gone_is_no_matter(folder):
    found = run(
        """
        import os
        import here
        os.chdir("elsewhere")
        os.rmdir(os.getcwd())
        print(batch(lambda: here.VALUE))
        """,
        folder,
    )

    assert found == "here"


# --- Names that exist twice ---------------------------------------------------------------

NAMES = [
    "__future__", "contextlib", "ctypes", "enum", "functools", "inspect", "json", "numpy",
    "pickle", "random", "select", "seqloader", "struct", "threading", "typing", "warnings",
]  # fmt: skip


@pytest.mark.parametrize("flags", [(), ("-P",), ("-O",)])
def test_a_module_that_the_program_has_imported_is_not_taken_from_a_path_added_later(folder, flags):
    for name in NAMES:
        (folder / "elsewhere" / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    found = run(
        """
        import inspect, json, random, select, sys
        import numpy
        sys.path.insert(0, "elsewhere")
        def look():
            import inspect, json, random, select
            import numpy
            return [module.__file__ for module in (inspect, json, random, select, numpy)]
        print(batch(look) == look())
        """,
        folder,
        *flags,
    )

    assert found == "True"


def test_of_two_modules_of_one_name_a_worker_has_the_one_that_the_program_has(folder):
    (folder / "elsewhere" / "helper.py").write_text("VALUE = 'other'\n")
    found = run(
        """
        import sys
        sys.path.insert(0, "lib")
        import helper
        sys.path.insert(0, "elsewhere")
        print(batch(lambda: helper.VALUE))
        """,
        folder,
    )

    assert found == "helper"


# --- Modules from odd places --------------------------------------------------------------


def test_a_module_of_a_zip_archive_arrives(folder):
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("zipped.py", "VALUE = 'zipped'\n")
    found = run(
        """
        import os, sys
        sys.path.insert(0, "archive.zip")
        import zipped
        os.chdir("elsewhere")
        print(batch(lambda: zipped.VALUE))
        """,
        folder,
    )

    assert found == "zipped"


def test_a_module_that_was_loaded_from_a_file_of_another_name_arrives(folder):
    found = run(
        """
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("odd", "lib/helper.py")
        odd = sys.modules["odd"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(odd)
        print(batch(lambda: odd.VALUE))
        """,
        folder,
    )

    assert found == "helper"


def test_a_module_of_which_the_path_was_taken_away_again_arrives(folder):
    found = run(
        """
        import sys
        sys.path.insert(0, "lib")
        import helper, package
        del sys.path[0]
        def look():
            import package.inner
            return helper.VALUE, package.inner.VALUE
        print(*batch(look))
        """,
        folder,
    )

    assert found == "helper inner"


def test_a_namespace_package_is_found_by_the_path(folder):
    for part in ("lib", "elsewhere"):
        (folder / part / "spaced").mkdir()
        (folder / part / "spaced" / f"{part}.py").write_text(f"VALUE = {part!r}\n")
    found = run(
        """
        import sys
        sys.path[:0] = ["lib", "elsewhere"]
        import spaced.lib
        def look():
            from spaced import elsewhere, lib
            return lib.VALUE, elsewhere.VALUE
        print(*batch(look))
        """,
        folder,
    )

    assert found == "lib elsewhere"


def test_isolated_and_bare_interpreters_start_workers_of_their_kind(folder):
    prelude = f"import sys; sys.path[:] = {list(filter(None, sys.path))!r}\n"
    for flags in (["-I"], ["-E", "-S"]):
        script = textwrap.dedent(BATCHES) + textwrap.dedent(
            """
            import sys
            flags = lambda: (sys.flags.isolated, sys.flags.no_site, sys.flags.ignore_environment)
            print(batch(flags) == flags())
            """
        )
        done = subprocess.run(
            [sys.executable, *flags, "-c", prelude + script],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("True\n", "")


class Answers(types.ModuleType):
    """Has every attribute, and says when it is asked."""

    def __getattribute__(self, name):
        raise AssertionError(f"asked for {name}")


def test_what_stands_for_a_module_is_not_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "answers_everything", Answers("answers_everything"))
    monkeypatch.setitem(sys.modules, "no_module", 7)
    monkeypatch.setitem(sys.modules, "nothing", None)
    monkeypatch.setitem(sys.modules, "alias_of_json", importlib.import_module("json"))

    found = imports(imported_files())

    named = set(found.files)
    assert "json" in named
    assert named.isdisjoint({"answers_everything", "no_module", "nothing", "alias_of_json"})
    assert named.isdisjoint({"sys", "__main__"})


# --- Edited meanwhile ---------------------------------------------------------------------


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A module of the user's, and its file."""
    file = tmp_path / "module_to_be_edited.py"
    file.write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module(file.stem), file
    del sys.modules[file.stem]


class Edited(Sequence):
    def __init__(self, module):
        self.name = module.__name__

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return importlib.import_module(self.name).VALUE, os.getpid()


def kill_and_edit(enqueuer, file, text):
    """The messages of an epoch in which the file was edited and the worker killed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = iter(enqueuer)
        _, pid = next(batches)
        file.write_text(text)
        os.kill(pid, signal.SIGKILL)
        values = {value for value, _ in batches}
    return values, [str(one.message) for one in caught if file.name in str(one.message)]


def test_a_replacement_that_imports_edited_source_is_told_of_once(edited):
    module, file = edited

    with OrderedEnqueuer(Edited(module), workers=1, max_queue_size=2) as enqueuer:
        values, [said] = kill_and_edit(enqueuer, file, "VALUE = 22\n")
        assert 22 in values
        assert module.__name__ in said
        assert kill_and_edit(enqueuer, file, "VALUE = 22\n")[1] == []


def test_forked_replacements_have_the_code_that_is_in_memory(edited):
    module, file = edited

    with OrderedEnqueuer(
        Edited(module), workers=1, max_queue_size=2, start_method="fork"
    ) as enqueuer:
        assert kill_and_edit(enqueuer, file, "VALUE = 22\n") == ({1}, [])


def test_replacements_of_a_zygote_have_the_code_that_it_has_imported(edited):
    module, file = edited
    sequence = Edited(module)
    sequence.module = module  # so that the zygote imports it

    with OrderedEnqueuer(sequence, workers=1, max_queue_size=2, start_method="zygote") as enqueuer:
        assert kill_and_edit(enqueuer, file, "VALUE = 22\n") == ({1}, [])


def test_a_warning_made_an_error_loses_no_batch(edited):
    module, file = edited

    with OrderedEnqueuer(Edited(module), workers=1, max_queue_size=2) as enqueuer:
        batches = iter(enqueuer)
        delivered = [next(batches)]
        file.write_text("VALUE = 22\n")
        os.kill(delivered[0][1], signal.SIGKILL)
        raised = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            while len(delivered) < 20:
                try:
                    delivered.append(next(batches))
                except Warning as warning:
                    raised.append(str(warning))
        assert next(batches, "end") == "end"

    assert any(file.name in text for text in raised)


def test_sources_that_are_touched_by_nobody_are_the_same(edited):
    _, file = edited
    sources = Sources(imported_files())

    assert sources.edited() == []
    file.unlink()
    assert sources.edited() == []  # on its way back from an editor
    file.write_text("VALUE = 333\n")
    assert sources.edited() == [(file.stem, str(file))]
    assert sources.edited() == []


def test_libraries_are_not_looked_at():
    looked_at = Sources(imported_files())._known

    assert not any("site-packages" in file for file in looked_at)
    assert os.__file__ not in looked_at


def test_the_workers_directory_is_still_the_consumers(make_any, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert list(make_any(Once(lambda index: os.getcwd()))) == [str(tmp_path)]


def test_a_package_may_put_its_folder_on_the_path_and_import_its_name_again(folder):
    """As OpenCV does: its module of C code has the name of the package around it."""
    package = folder / "twofold"
    package.mkdir()
    (package / "twofold.py").write_text("VALUE = 'inside'\n")
    (package / "__init__.py").write_text(
        textwrap.dedent("""
        import importlib, os, sys

        path = list(sys.path)
        outer = sys.modules.pop(__name__)
        if os.path.dirname(__file__) in sys.path[:1]:
            raise ImportError("recursion")
        sys.path.insert(0, os.path.dirname(__file__))
        VALUE = importlib.import_module("twofold").VALUE
        sys.path[:] = path
        sys.modules[__name__] = outer
        """)
    )

    assert run("import twofold\nprint(batch(lambda: twofold.VALUE))", folder) == "inside"


# --- What a worker does without -----------------------------------------------------------


def test_a_worker_of_a_plain_sequence_has_imported_nothing_that_only_others_need(folder):
    (folder / "plain.py").write_text(
        textwrap.dedent("""
        import sys
        import seqloader

        class Plain(seqloader.Sequence):
            def __len__(self):
                return 1
            def __getitem__(self, index):
                return sorted(sys.modules)
        """)
    )
    found = run(
        """
        import plain, subprocess, sys
        with OrderedEnqueuer(plain.Plain(), workers=1) as enqueuer:
            [modules] = enqueuer
        bare = "import sys, numpy; print(*sys.modules)"
        there = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True)
        print(*sorted(set(modules) - set(there.stdout.split())))
        """,
        folder,
    ).split()

    definitions = "seqloader.executors.process.wire.definitions."
    assert "plain" in found
    assert {name for name in found if name.startswith(definitions)} == {
        f"{definitions}numbers",
        f"{definitions}script",
    }
    others = {
        *("cloudpickle", "dataclasses", "ipaddress", "logging", "multiprocessing", "pathlib"),
        *("random", "subprocess", "tempfile", "urllib.parse"),
    }
    assert others.isdisjoint(found)


def test_what_the_users_code_leaves_in_a_worker_is_collected_as_everywhere(folder):
    found = run(
        """
        import gc, weakref
        class Node:
            pass
        def look():
            node = Node()
            node.itself, seen = node, weakref.ref(node)
            del node
            enabled = gc.isenabled()
            gc.collect()
            return enabled, seen() is None
        print(*batch(look))
        """,
        folder,
    )

    assert found == "True True"
