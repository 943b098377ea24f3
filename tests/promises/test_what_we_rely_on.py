"""One test for each line of docs/architecture/beyond-promises.md: the behaviour alone."""

from __future__ import annotations

import argparse
import copyreg
import ctypes
import gc
import io
import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
import weakref
from multiprocessing import spawn
from typing import Any

import cloudpickle
import numpy as np
import pytest

internals: Any = sys.modules["cloudpickle.cloudpickle"]


def class_of_a_script() -> type:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("class Made:\n    flag = 1\n    def method(self): return self.flag", scope)
    made: type = scope["Made"]
    return made


def test_cloudpickle_numbers_the_classes_that_it_sends():
    made = class_of_a_script()

    again = pickle.loads(cloudpickle.dumps(made))

    number = internals._DYNAMIC_CLASS_TRACKER_BY_CLASS[made]
    assert internals._DYNAMIC_CLASS_TRACKER_BY_ID[number] is made
    assert again is made


def test_cloudpickle_reduces_a_class_to_six_parts():
    made = class_of_a_script()

    reduced = cloudpickle.Pickler(io.BytesIO(), protocol=5).reducer_override(made)

    maker, arguments, state, items, pairs, setter = reduced
    assert isinstance(maker(*arguments), type)
    assert state[0]["flag"] == 1
    assert (items, pairs) == (None, None)
    assert setter is internals._class_setstate


def test_cloudpickle_fills_a_class_with_a_function_of_that_name():
    reduced = cloudpickle.Pickler(io.BytesIO(), protocol=5).reducer_override(class_of_a_script())
    bare = type("Made", (), {})

    internals._class_setstate(bare, reduced[2])

    filled: Any = bare
    assert filled().method() == 1


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

    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, check=True)

    assert {*json.loads(done.stdout)} >= {"-O", "-B", "-Werror", "utf8"}


def test_the_executable_that_was_set_is_told():
    before = spawn.get_executable()
    try:
        multiprocessing.set_executable("/some/python")
        told = spawn.get_executable()
    finally:
        spawn.set_executable(before)

    assert told in ("/some/python", b"/some/python")


def test_slots_are_named_as_pickle_names_them():
    class Base:
        __slots__ = ("__hidden", "inherited")

    class Slotted(Base):
        __slots__ = ("own",)

    names: list[str] = copyreg._slotnames(Slotted)  # type: ignore[attr-defined]

    assert sorted(names) == ["_Base__hidden", "inherited", "own"]


def test_a_memmap_has_its_mapping(tmp_path):
    array: Any = np.memmap(tmp_path / "numbers", np.uint8, "w+", shape=(4096,))

    assert len(array._mmap) == 4096
    assert np.asarray(array).base is array


@pytest.mark.parametrize("kind", ["f4", "u1", "M8[s]", "S5", "V8", "i4,f8"])
def test_dtypes_that_are_whole_are_legacy(kind):
    assert getattr(type(np.dtype(kind)), "_legacy", True)


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 1 has no such dtype")
def test_dtypes_that_refer_to_memory_elsewhere_are_not_legacy():
    strings: Any = np.dtypes
    assert not strings.StringDType._legacy


def test_views_end_at_the_object_under_them_and_keep_it_alive():
    class Hold(ctypes.c_char * 64):  # type: ignore[misc]
        pass

    hold = Hold()
    alive = weakref.ref(hold)
    array = np.frombuffer(hold, np.uint8)
    views = [array[1:], array[1:][1:].reshape(2, -1), array.view(np.uint16), memoryview(array)]
    ends: set[int] = set()
    for view in views:
        end: Any = view
        while isinstance(end, (np.ndarray, memoryview)):
            end = end.base if isinstance(end, np.ndarray) else end.obj
        ends.add(id(end))
    assert ends == {id(hold)}

    del hold, array, end, view
    while views:
        gc.collect()
        assert alive() is not None
        views.pop()
    gc.collect()

    assert alive() is None


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


@pytest.mark.torch
def test_arrays_of_torch_have_that_type():
    torch = pytest.importorskip("torch")

    assert type(torch.zeros(1)).__name__ == "Tensor"


def test_arrays_of_jax_have_that_type():
    numpy = pytest.importorskip("jax.numpy")

    assert type(numpy.zeros(1)).__name__ == "ArrayImpl"


def test_arrays_of_tensorflow_have_that_type():
    tensorflow = pytest.importorskip("tensorflow")

    assert type(tensorflow.zeros(1)).__name__ == "EagerTensor"


def test_threads_about_to_start_are_in_limbo():
    thread = threading.Thread(target=int)
    limbo: Any = threading
    limbo._limbo[thread] = thread
    try:
        assert thread in threading.enumerate()
    finally:
        del limbo._limbo[thread]

    assert thread not in threading.enumerate()
