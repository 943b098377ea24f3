"""What we rely on of Python (docs/architecture/beyond-promises.md): the behaviour alone."""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import _thread
import abc
import argparse
import copyreg
import ctypes
import dataclasses
import enum
import functools
import gc
import json
import marshal
import os
import random
import sys
import tempfile
import threading
import types
from typing import Any

from interpreter import run_python


def test_abc_tells_what_was_registered():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self) -> None: ...

    Shape.register(int)

    assert [reference() for reference in _abc._get_dump(Shape)[0]] == [int]


def test_abc_can_be_told_of_a_class_that_type_has_made():
    made: Any = type.__new__(abc.ABCMeta, "Made", (), {"f": abc.abstractmethod(lambda self: 1)})
    _abc._abc_init(made)

    assert made.__abstractmethods__ == {"f"}
    assert not isinstance(3, made)


def test_type_makes_a_class_without_its_metaclass_and_asks_the_inherited_init_subclass():
    called = []

    class Meta(type):
        def __new__(mcls, *arguments: Any) -> Any:
            called.append("new")
            return super().__new__(mcls, *arguments)

    class Base(metaclass=Meta):
        def __init_subclass__(cls) -> None:
            called.append("init_subclass")

    called.clear()
    type.__new__(Meta, "Made", (Base,), {})

    assert called == ["init_subclass"]


def test_a_mapping_proxy_refers_to_its_mapping_alone():
    mapping = {"a": 1}

    assert gc.get_referents(types.MappingProxyType(mapping)) == [mapping]
    assert gc.get_referents(types.MappingProxyType(mapping))[0] is mapping


def test_a_cached_function_refers_to_its_function():
    @functools.lru_cache(maxsize=3, typed=True)
    def cached() -> None:
        pass

    assert cached.cache_parameters() == {"maxsize": 3, "typed": True}
    assert any(part is cached.__wrapped__ for part in gc.get_referents(cached))


def test_dataclasses_have_sentinels_of_these_names():
    for name in ("_HAS_DEFAULT_FACTORY", "_FIELD"):
        sentinel = getattr(dataclasses, name)
        assert [key for key, value in vars(dataclasses).items() if value is sentinel] == [name]


def test_code_is_whole_without_references_among_its_parts():
    code = compile("def f(x):\n    return [y for y in x if y]\n", "name.py", "exec")

    again = marshal.loads(marshal.dumps(code, 2))

    assert again == code
    assert list(again.co_positions()) == list(code.co_positions())
    assert again.co_filename == "name.py"


def test_ctypes_makes_descriptors_when_fields_are_set_after_the_class():
    meta = type(ctypes.Structure)
    made: Any = meta.__new__(meta, "Made", (ctypes.Structure,), {})
    meta.__init__(made, "Made", (ctypes.Structure,), {})
    made._fields_ = [("x", ctypes.c_int)]

    assert type(made.__dict__["x"]).__name__ == "CField"
    assert made(3).x == 3


def test_ctypes_has_a_type_with_its_bytes_in_the_other_order():
    swapped = (
        ctypes.c_uint16.__ctype_be__
        if sys.byteorder == "little"
        else (ctypes.c_uint16.__ctype_le__)
    )

    assert issubclass(ctypes.c_int * 2, ctypes.Array)
    assert (ctypes.c_int * 2)._type_ is ctypes.c_int
    assert (ctypes.c_int * 2)._length_ == 2
    assert ctypes.POINTER(ctypes.c_int).__bases__[0].__name__ == "_Pointer"
    assert swapped is not ctypes.c_uint16


def test_a_member_of_an_enum_is_an_entry_of_its_class_and_of_the_maps():
    class Colour(enum.Enum):
        RED = 1

    assert Colour._member_map_["RED"] is Colour.RED
    assert Colour._value2member_map_[1] is Colour.RED
    assert vars(Colour.RED)["_name_"] == "RED"


def test_a_flag_keeps_its_combinations_by_value_and_what_inverting_gave():
    class Rights(enum.Flag):
        READ = 1
        WRITE = 2

    both = Rights.READ | Rights.WRITE

    assert Rights._value2member_map_[both._value_] is both
    assert "READ|WRITE" not in Rights._member_map_
    assert vars(Rights.READ).get("_inverted_") is None
    assert ~Rights.READ is vars(Rights.READ)["_inverted_"]


def test_a_lock_knows_whether_this_thread_has_it():
    lock: Any = threading.RLock()
    seen = [lock._is_owned()]
    with lock:
        seen.append(lock._is_owned())
        other = threading.Thread(target=lambda: seen.append(lock._is_owned()))
        other.start()
        other.join()

    assert seen == [False, True, False]


def test_the_flags_of_the_interpreter_are_known_as_arguments():
    code = "import json, subprocess; print(json.dumps(subprocess._args_from_interpreter_flags()))"
    flags = ["-O", "-B", "-Werror", "-X", "utf8"]

    done = run_python(*flags, "-c", code)

    assert {*json.loads(done.stdout)} >= {"-O", "-B", "-Werror", "utf8"}


def test_slots_are_named_as_pickle_names_them():
    class Base:
        __slots__ = ("__hidden", "inherited")

    class Slotted(Base):
        __slots__ = ("own",)

    names: list[str] = copyreg._slotnames(Slotted)  # type: ignore[attr-defined]

    assert sorted(names) == ["_Base__hidden", "inherited", "own"]


def test_a_reference_more_is_counted():
    class Holder:
        pass

    holder: Any = Holder()
    holder.held = Holder()
    counts = [sys.getrefcount(holder.held)]
    another = holder.held
    counts.append(sys.getrefcount(holder.held))
    del another
    counts.append(sys.getrefcount(holder.held))

    assert [count - counts[0] for count in counts] == [0, 1, 0]


def test_subcommands_have_a_type():
    commands = argparse.ArgumentParser().add_subparsers()

    assert type(commands) is argparse._SubParsersAction


def test_threads_about_to_start_are_in_limbo():
    thread = threading.Thread(target=int)
    limbo: Any = threading
    limbo._limbo[thread] = thread
    try:
        assert thread in threading.enumerate()
    finally:
        del limbo._limbo[thread]

    assert thread not in threading.enumerate()


def test_a_generator_holds_its_frame_until_it_ends():
    frames = []

    def generate():
        frames.append(sys._getframe())
        yield 1
        yield 2

    generator = generate()
    next(generator)
    counts = [sys.getrefcount(frames[0])]
    next(generator)
    counts.append(sys.getrefcount(frames[0]))
    del generator
    counts.append(sys.getrefcount(frames[0]))
    frames.append(object())
    counts.append(sys.getrefcount(frames[1]))

    assert counts[0] == counts[1] == counts[2] + 1
    assert counts[2] == counts[3]


def test_the_global_generator_of_random_has_that_name():
    own: Any = random

    assert random.random.__self__ is own._inst


def test_a_thread_that_python_has_not_made_is_a_dummy():
    asked, ended = [], threading.Event()

    def ask():
        asked.append(threading.current_thread())
        ended.set()

    _thread.start_new_thread(ask, ())
    ended.wait()

    assert isinstance(asked[0], threading._DummyThread)


def test_names_of_temporary_files_are_drawn_anew_in_another_process(monkeypatch):
    names = tempfile._RandomNameSequence()
    next(names)
    drawn_by = names._rng
    monkeypatch.setattr(names, "_rng_pid", -1)  # as in a forked child

    next(names)

    assert names._rng is not drawn_by
    assert hasattr(tempfile, "_name_sequence")


def test_sockets_are_there_without_their_module():
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        fd = theirs.fileno().to_bytes(4, sys.byteorder)
        ours.sendmsg([b"whole"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd)])
        data, ancillary, _, _ = theirs.recvmsg(99, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        [(_, _, numbers)] = ancillary
        os.close(int.from_bytes(numbers, sys.byteorder))
    finally:
        ours.close()
        theirs.close()

    assert data == b"whole"
