"""Definitions by value: what is sent, and the uses of others' insides that it rests on."""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import abc
import ctypes
import dataclasses
import enum
import functools
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
from types import CodeType, FunctionType, MappingProxyType
from typing import Any

import numpy as np
import pytest

from seqloader.executors.process.consumer import script as consumer_script
from seqloader.executors.process.consumer.sending import pickle_state
from seqloader.executors.process.wire.definitions import functions, names, numbers
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


# What this rests on beyond a promise.


def test_beyond_a_promise_abc_gives_what_was_registered():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self) -> None: ...

    Shape.register(int)

    assert [reference() for reference in _abc._get_dump(Shape)[0]] == [int]


def test_beyond_a_promise_abc_can_be_initialised_after_the_class_is_made():
    made: Any = type.__new__(abc.ABCMeta, "Made", (), {"f": abc.abstractmethod(lambda self: 1)})
    _abc._abc_init(made)

    assert made.__abstractmethods__ == {"f"}
    assert not isinstance(3, made)


def test_beyond_a_promise_type_new_calls_no_metaclass_and_asks_the_inherited_init_subclass():
    called = []

    class Meta(type):
        def __new__(mcls, *args: Any) -> Any:
            called.append("new")
            return super().__new__(mcls, *args)

    class Base(metaclass=Meta):
        def __init_subclass__(cls) -> None:
            called.append("init_subclass")

    called.clear()
    type.__new__(Meta, "Made", (Base,), {})

    assert called == ["init_subclass"]


def test_beyond_a_promise_numpy_shows_the_function_of_a_ufunc_to_the_garbage_collector():
    def function(x: Any) -> Any:
        return x

    ufunc = np.frompyfunc(function, 1, 1)

    assert [part for part in gc.get_referents(ufunc) if callable(part)] == [function]


def test_beyond_a_promise_a_mapping_proxy_shows_its_mapping_to_the_garbage_collector():
    mapping = {"a": 1}

    assert gc.get_referents(MappingProxyType(mapping))[0] is mapping


def test_beyond_a_promise_a_cached_function_says_how_it_was_made():
    @functools.lru_cache(maxsize=3, typed=True)
    def cached() -> None:
        pass

    assert cached.cache_parameters() == {"maxsize": 3, "typed": True}
    assert cached.__wrapped__ in gc.get_referents(cached)


def test_beyond_a_promise_dataclasses_have_their_sentinels_under_these_names():
    for name in ("MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY", "_FIELD", "_FIELD_CLASSVAR"):
        sentinel = getattr(dataclasses, name)
        assert pickle.loads(dumps(sentinel)) is sentinel


def test_beyond_a_promise_marshal_without_references_keeps_code_whole():
    code = local_function().__code__

    again = marshal.loads(marshal.dumps(code, 2))

    assert isinstance(again, CodeType)
    assert again == code
    assert list(again.co_positions()) == list(code.co_positions())


def test_beyond_a_promise_ctypes_makes_its_field_descriptors_when_fields_are_set():
    made: Any = type(ctypes.Structure).__new__(
        type(ctypes.Structure), "Made", (ctypes.Structure,), {}
    )
    made._fields_ = [("x", ctypes.c_int)]

    assert type(made.__dict__["x"]).__name__ == "CField"
    assert made(3).x == 3


def test_beyond_a_promise_a_member_of_an_enum_is_an_entry_of_the_class_and_of_its_maps():
    class Colour(enum.Enum):
        RED = 1

    assert Colour._member_map_["RED"] is Colour.RED
    assert Colour._value2member_map_[1] is Colour.RED
    assert vars(Colour.RED)["_name_"] == "RED"


def test_a_dead_weak_reference_arrives_dead():
    class Local:
        pass

    reference = weakref.ref(Local())

    assert pickle.loads(dumps(reference))() is None


def test_modules_of_the_standard_library_are_installed_and_tests_are_not():
    assert functions.is_installed("functools")
    assert functions.is_installed("numpy")
    assert not functions.is_installed(__name__)


# The script's names.


@pytest.fixture
def script_namespace(monkeypatch):
    module = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module.__dict__


def entries_of(namespace: dict[str, Any], source: str) -> dict[str, Any]:
    exec(source, namespace)
    data = consumer_script.pickle_names()
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

    limit = f"it is larger than {consumer_script.MOST_BYTES:,} bytes"
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


def test_all_names_together_are_bounded(script_namespace, monkeypatch):
    monkeypatch.setattr(consumer_script, "MOST_BYTES_TOGETHER", 100)

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
    assert consumer_script.script_facts().name == "__main__"
