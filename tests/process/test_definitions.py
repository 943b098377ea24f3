"""Definitions by value: what is sent, and what arrives."""

from __future__ import annotations

import abc
import ctypes
import enum
import gc
import linecache
import marshal
import pickle
import subprocess
import sys
import threading
import traceback
import weakref
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from seqloader.executors.process.consumer import names as consumer_names
from seqloader.executors.process.consumer.script import script_facts
from seqloader.executors.process.consumer.sending import pickle_state
from seqloader.executors.process.wire.definitions import modules, names, numbers
from seqloader.executors.process.wire.definitions.pickler import dumps

ROOT = Path(__file__).parents[2]

ELSEWHERE = f"""
import pickle, sys
sys.path[:0] = {[str(ROOT)]!r}
function = pickle.loads(sys.stdin.buffer.read())
pickle.dump(function(), sys.stdout.buffer)
"""


def elsewhere(function: Any) -> Any:
    """What a function returns in a process that has never seen it."""
    sent = dumps(function)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=sent, capture_output=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


def local_function() -> Any:
    def raises() -> str:
        try:
            raise ValueError("here")
        except ValueError:
            return traceback.format_exc()

    return raises


def test_a_traceback_names_file_line_and_source():
    function = local_function()
    line = function.__code__.co_firstlineno + 2

    said = elsewhere(function)

    assert f'File "{__file__}", line {line}, in raises' in said
    assert linecache.getline(__file__, line).strip() in said


@pytest.mark.parametrize("constant", [frozenset({1, 2}), ("a", None, ...), 1 << 70, b"x", "\ud800"])
def test_code_arrives_with_its_constants(constant):
    code = compile("None", "name.py", "eval").replace(co_consts=(constant,))

    rebuilt = pickle.loads(dumps(code))

    assert rebuilt.co_consts == (constant,)
    assert rebuilt.co_filename == "name.py"


def test_code_with_constants_that_no_compiler_makes_arrives():
    code = compile("None", "name.py", "eval").replace(co_consts=(Path,))

    with pytest.raises(ValueError, match="unmarshallable"):
        marshal.dumps(code)
    assert pickle.loads(dumps(code)).co_consts == (Path,)


def test_the_pickle_of_a_function_does_not_depend_on_reference_counts():
    function = local_function()
    first = dumps(function)
    held = [function.__code__.co_names, *function.__code__.co_consts]

    assert dumps(function) == first, held


def test_closures_share_their_variables():
    def counter() -> tuple[Any, Any]:
        count = 0

        def increase() -> None:
            nonlocal count
            count += 1

        return increase, lambda: count

    pair = counter()

    def use() -> int:
        increase, read = pair
        increase()
        increase()
        return read()

    assert elsewhere(use) == 2


def test_the_body_of_a_class_inside_a_function_finds_its_globals():
    def make() -> Any:
        class Local:
            root = ROOT

        return Local.root

    assert "ROOT" in names.used_by_code(make.__code__)
    assert elsewhere(make) == ROOT


def test_an_attribute_that_has_a_globals_name_does_not_bring_it_along():
    def use(thing: Any) -> Any:
        return thing.LARGE

    assert len(dumps(use)) < 2000


LARGE = np.zeros(1_000_000)


def test_a_submodule_that_is_used_through_its_package_is_imported_there():
    import concurrent.futures

    def use() -> str:
        return concurrent.futures.ThreadPoolExecutor.__name__

    assert names.submodules(use.__code__, [concurrent]) == ["concurrent.futures"]
    assert elsewhere(use) == "ThreadPoolExecutor"


def test_sending_a_class_leaves_it_as_it_is():
    class Local(abc.ABC):
        __slots__ = ("x",)

        @abc.abstractmethod
        def method(self) -> None: ...

    class Colour(enum.Enum):
        RED = 1

    before = dict(Local.__dict__), dict(Colour.__dict__)
    dumps((Local, Colour.RED))

    assert (dict(Local.__dict__), dict(Colour.__dict__)) == before


def test_what_a_process_has_sent_comes_back_to_it_as_itself():
    class Local:
        value = 1

    sent = dumps(Local)
    Local.value = 2

    assert pickle.loads(sent) is Local
    assert Local.value == 2


def test_a_state_that_has_not_changed_has_the_same_pickle():
    class Local:
        def method(self) -> Any:
            return Local, Colour.RED

    class Colour(enum.Enum):
        RED = 1

    first = pickle_state(Local())

    assert bytes(pickle_state(Local()).head) == bytes(first.head)


def test_a_number_is_forgotten_with_its_object_and_not_given_twice():
    class Local:
        pass

    number = numbers.take_number(Local)
    assert numbers.known(number) is Local
    assert numbers.take_number(Local) == number

    del Local
    gc.collect()

    assert numbers.known(number) is None


def test_a_class_with_an_equality_of_its_metaclass_keeps_its_number():
    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            return True

        def __hash__(cls) -> int:
            return 1

    one = Meta("One", (), {})
    two = Meta("Two", (), {})

    assert numbers.take_number(one) != numbers.take_number(two)


# Refused, with the name and the way out.


def test_a_type_that_is_made_in_c_and_has_no_name_in_its_module_is_refused():
    class Pair(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int),)

    hidden = type(Pair.x)
    if getattr(sys.modules[hidden.__module__], hidden.__name__, None) is hidden:
        pytest.skip("it has a name, in this version of Python")
    with pytest.raises(pickle.PicklingError, match=r"CField is made in C, and its module does not"):
        dumps(hidden)


def test_a_dead_weak_reference_arrives_dead():
    class Local:
        pass

    reference = weakref.ref(Local())

    assert pickle.loads(dumps(reference))() is None


def test_a_module_that_a_program_has_put_into_sys_modules_travels_by_value(monkeypatch):
    module = ModuleType("put_there_by_hand")
    exec("SIZE = 3\nclass Own:\n    def get(self): return SIZE", vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    data = dumps((module, module.Own()))
    monkeypatch.delitem(sys.modules, module.__name__)
    arrived, own = pickle.loads(data)

    assert arrived.SIZE == own.get() == 3
    assert type(own) is module.Own  # known by its number, in this process


def test_modules_of_the_standard_library_are_installed_and_tests_are_not():
    assert modules.is_installed("functools")
    assert modules.is_installed("numpy")
    assert not modules.is_installed(__name__)


# The script's names.


@pytest.fixture
def script_namespace(monkeypatch):
    module = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module.__dict__


def entries_of(namespace: dict[str, Any], source: str) -> dict[str, Any]:
    exec(source, namespace)
    data = consumer_names.pickle_names()
    found: dict[str, Any] = marshal.loads(data) if data else {}
    return found


def test_an_empty_script_has_nothing_to_send(script_namespace):
    assert entries_of(script_namespace, "x = 1") == {}


def test_data_comes_along_only_where_a_definition_uses_it(script_namespace):
    entries = entries_of(script_namespace, "used = 1\nunused = 2\ndef f():\n    return used\n")

    assert sorted(entries) == ["f", "used"]


def test_large_data_is_not_pickled_to_its_end(script_namespace):
    script_namespace["data"] = ["x" * 1000] * 3 + [str(i) for i in range(1_000_000)]
    script_namespace["array"] = LARGE

    entries = entries_of(script_namespace, "def f():\n    return data, array\n")

    limit = f"it is larger than {consumer_names.MOST_BYTES:,} bytes"
    assert (entries["data"], entries["array"]) == (limit, limit)


def test_pickling_the_names_of_a_script_runs_no_code_of_its_objects(script_namespace):
    source = """
class Loud:
    def __getstate__(self):
        raise SystemExit
thing = Loud()
def f():
    return thing
"""
    entries = entries_of(script_namespace, source)

    assert "whose pickling runs code of its own" in entries["thing"]
    assert isinstance(entries["f"], bytes)


def test_what_is_merely_there_is_not_asked_for_its_name(script_namespace):
    source = """
import importlib.util
class Strict(dict):
    __getattr__ = dict.__getitem__
class Proxy:
    def __getattribute__(self, name):
        raise RuntimeError("working outside of a context")
settings, proxy = Strict(rate=3), Proxy()
lazy = importlib.util.module_from_spec(importlib.util.find_spec("this"))
lazy.__class__ = type("Lazy", (type(lazy),), {"__getattribute__": lambda *_: 1 / 0})
def used():
    return settings
"""
    entries = entries_of(script_namespace, source)

    assert isinstance(entries["used"], bytes)
    assert {"proxy", "lazy"}.isdisjoint(entries)


def test_all_names_together_are_bounded(script_namespace, monkeypatch):
    monkeypatch.setattr(consumer_names, "MOST_BYTES_TOGETHER", 100)

    entries = entries_of(script_namespace, "def f():\n    pass\ndef g():\n    pass\n")

    assert sorted(type(entry).__name__ for entry in entries.values()) == ["bytes", "str"]


def test_a_lock_is_named_as_the_reason(script_namespace):
    script_namespace["LOCK"] = threading.Lock()

    entries = entries_of(script_namespace, "def f():\n    return LOCK\n")

    assert "_thread.lock" in entries["LOCK"]
    assert isinstance(entries["f"], bytes)


def test_a_function_of_the_script_is_one_that_has_its_globals(script_namespace):
    exec("def f():\n    return 1\n", script_namespace)
    function = script_namespace["f"]

    assert isinstance(function, FunctionType)
    assert script_facts().name == "__main__"
