"""One test for each line of docs/architecture/beyond-promises.md: the behaviour alone."""

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
import importlib
import inspect
import json
import marshal
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import types
import warnings
import weakref
from multiprocessing import context, reduction, spawn
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import numpy as np
import pytest
from interpreter import printed_by, run_python


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


def test_a_ufunc_refers_to_the_function_that_it_was_made_of():
    def function(x: Any) -> Any:
        return x

    ufunc = np.frompyfunc(function, 1, 1)

    assert [part for part in gc.get_referents(ufunc) if callable(part)] == [function]


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


MARKED = """
import multiprocessing

def say():
    mark = getattr(multiprocessing.current_process(), "_inheriting", False)
    print(__name__, mark, flush=True)

say()
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=say)
    process.start()
    process.join()
"""


def test_a_process_that_multiprocessing_prepares_is_marked(tmp_path):
    (tmp_path / "marked.py").write_text(MARKED)

    said = run_python("marked.py", cwd=tmp_path)

    assert said.stdout.splitlines() == ["__main__ False", "__mp_main__ True", "__mp_main__ False"]


def test_multiprocessing_asks_who_is_started_to_take_descriptors():
    class Child:
        taken: ClassVar[list[int]] = []
        DupFd = staticmethod(int)

        def duplicate_for_child(self, fd: int) -> int:
            self.taken.append(fd)
            return fd

    ours, theirs = multiprocessing.Pipe()
    reducers: Any = reduction.ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    context.set_spawning_popen(Child())  # type: ignore[arg-type]
    try:
        _, (fd, *_) = reducers[type(ours)](ours)
    finally:
        context.set_spawning_popen(None)

    assert Child.taken == [fd] == [ours.fileno()]
    assert reducers[type(ours)].__module__ == "multiprocessing.connection"
    ours.close()
    theirs.close()


def test_a_lock_for_forked_children_has_no_name():
    program = """
        import multiprocessing
        for method in ("fork", "spawn"):
            lock = multiprocessing.get_context(method).Lock()
            print(type(lock).__module__, lock._semlock.name is None)
    """
    module = "multiprocessing.synchronize"

    assert printed_by(program).splitlines() == [f"{module} True", f"{module} False"]


def test_a_shared_value_has_its_memory_beside_it():
    program = """
        import ctypes
        from multiprocessing import reduction, sharedctypes
        value = sharedctypes.RawValue("i")
        kind = reduction.ForkingPickler._extra_reducers[type(value)].__module__
        arena = value._wrapper._state[0][0]
        memory = reduction.ForkingPickler._extra_reducers[type(arena)].__module__
        print(kind, memory, arena.size > 0, arena.fd >= 0, hasattr(ctypes.c_int(1), "_wrapper"))
    """
    kinds = "multiprocessing.sharedctypes multiprocessing.heap"

    assert printed_by(program).strip() == f"{kinds} True True False"


def test_torch_has_ways_to_pickle_memory_that_is_shared():
    torch = pytest.importorskip("torch")
    importlib.import_module("torch.multiprocessing")
    reducers: Any = reduction.ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    typed = torch.zeros(2)._typed_storage()

    assert reducers[type(typed)].__name__ == "reduce_typed_storage"
    assert reducers[type(typed._untyped_storage)].__name__ == "reduce_storage"
    assert not typed._untyped_storage.is_shared()


def test_the_resource_tracker_can_be_shared_by_its_descriptor():
    program = """
        import os
        from multiprocessing import resource_tracker, shared_memory
        tracker = resource_tracker._resource_tracker
        print(tracker._fd, tracker._pid)
        reader, tracker._fd = os.pipe()
        assert shared_memory.resource_tracker is resource_tracker
        resource_tracker.register("/none", "shared_memory")
        print(os.read(reader, 999).decode().split()[-1], tracker._pid)
        os.close(tracker._fd)
        tracker._fd = None
        tracker.ensure_running()
        print(tracker._pid > 0)
        tracker._stop()
        print(tracker._pid)
    """
    lines = printed_by(program).splitlines()

    assert lines[0] == "None None"
    assert "REGISTER" in lines[1]
    assert lines[1].endswith(" None")
    assert lines[2:] == ["True", "None"]


def test_a_process_can_be_told_its_parent():
    program = """
        import os
        from multiprocessing import current_process, parent_process, process
        reader, writer = os.pipe()
        this = current_process()
        this.authkey = b"key"
        this._name, this._identity, this._config["daemon"] = "worker", (3,), False
        process._parent_process = process._ParentProcess("parent", os.getppid(), reader)
        alive = parent_process().is_alive()
        os.close(writer)
        print(parent_process().name, alive, parent_process().is_alive(), this.name, this.daemon)
        print(bytes(this.authkey), isinstance(process.ORIGINAL_DIR, str))
    """

    assert printed_by(program).splitlines() == [
        "parent True False worker False",
        "b'key' True",
    ]


def test_the_start_method_can_be_chosen_where_it_is_kept():
    program = """
        import multiprocessing
        from multiprocessing import context
        context._default_context.set_start_method("spawn", force=True)
        print(multiprocessing.get_start_method())
    """

    assert printed_by(program).strip() == "spawn"


def test_a_forked_child_can_let_go_of_its_parents_queues():
    program = """
        import multiprocessing, os
        from multiprocessing import process, util
        queue = multiprocessing.get_context("fork").Queue()
        queue.put("parent")
        queue.get()
        if not os.fork():
            process._children = set()
            util._finalizer_registry.clear()
            util._run_after_forkers()
            queue.put("child")
            util._exit_function()
            os._exit(0)
        print(queue.get(timeout=20))
        os.wait()
    """

    assert printed_by(program).strip() == "child"


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


def test_a_process_of_multiprocessing_keeps_what_it_knows_of_itself():
    process: Any = multiprocessing.process
    this = process.current_process()

    assert isinstance(process._children, set)
    assert this._config["authkey"] == this.authkey
    assert process._parent_process is process.parent_process()
    reading, writing = os.pipe()
    try:
        parent = process._ParentProcess("parent", os.getpid(), reading)
        assert (parent.name, parent.ident, parent.is_alive()) == ("parent", os.getpid(), True)
    finally:
        os.close(writing)
        os.close(reading)


def test_multiprocessing_finishes_by_these_functions():
    code = (
        "import os\n"
        "from multiprocessing import util\n"
        "class Owner: pass\n"
        "owner = Owner()\n"
        "util.register_after_fork(owner, lambda owner: print('after the fork', flush=True))\n"
        "util.Finalize(owner, print, ('not here',), exitpriority=1)\n"
        "util._finalizer_registry.clear()\n"
        "util.Finalize(owner, print, ('finished',), exitpriority=1)\n"
        "util._run_after_forkers()\n"
        "util._exit_function()\n"
    )

    lines = printed_by(code).splitlines()

    assert lines == ["after the fork", "finished"]


def test_the_start_method_is_that_of_the_default_context():
    code = (
        "import multiprocessing\n"
        "multiprocessing.context._default_context.set_start_method('forkserver', force=True)\n"
        "print(multiprocessing.get_start_method())\n"
    )

    lines = printed_by(code).splitlines()

    assert lines == ["forkserver"]


TRACKER = (
    "from multiprocessing import resource_tracker\n"
    "tracker = resource_tracker._resource_tracker\n"
    "print(tracker._fd, tracker._pid)\n"
    "resource_tracker.ensure_running()\n"
    "print(tracker._fd == resource_tracker.getfd(), tracker._pid > 0)\n"
    "tracker._stop()\n"
    "print(tracker._fd, tracker._pid)\n"
)


def test_the_resource_tracker_is_known_by_its_descriptor():
    lines = printed_by(TRACKER).splitlines()

    assert [line.split()[0] for line in lines] == ["None", "True", "None"]


def test_the_resource_tracker_can_be_waited_for():
    lines = printed_by(TRACKER).splitlines()

    assert [line.split()[1] for line in lines] == ["None", "True", "None"]


def test_multiprocessing_registers_how_its_objects_travel():
    reducers: Any = reduction.ForkingPickler
    assert reducers._extra_reducers[Connection] is not None


@pytest.mark.torch
def test_a_typed_storage_of_torch_has_an_untyped_one():
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        typed = torch.zeros(1).storage()

    assert not typed._untyped_storage.is_shared()


def test_image_iterators_of_keras_draw_their_order_by_that_method():
    image = pytest.importorskip("keras.src.legacy.preprocessing.image", exc_type=ImportError)
    pictures = np.zeros((6, 2, 2, 3), "f4")
    iterator = image.ImageDataGenerator().flow(pictures, batch_size=2, shuffle=True)
    assert iterator.index_array is None

    iterator._set_index_array()

    assert sorted(iterator.index_array) == list(range(6))


def test_image_iterators_of_keras_make_their_indices_by_that_method():
    image = pytest.importorskip("keras.src.legacy.preprocessing.image", exc_type=ImportError)
    iterator = image.ImageDataGenerator().flow(
        np.zeros((6, 2, 2, 3), "f4"), batch_size=2, shuffle=False
    )
    next(iterator.index_generator)

    iterator.index_generator = iterator._flow_index()

    assert [list(next(iterator.index_generator)) for _ in range(2)] == [[0, 1], [2, 3]]


def test_the_epoch_that_fit_of_keras_begins_with_is_set_so():
    keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
    epochs = []

    class Begins(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model._initial_epoch = 2

        def on_epoch_begin(self, epoch, logs=None):
            epochs.append(epoch)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((2, 1)), np.zeros((2, 1)), epochs=4, callbacks=[Begins()], verbose=0)

    assert epochs == [2, 3]


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


def test_tf_keras_asks_for_the_shape_of_its_data():
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    asked = []

    class Data:
        def __getitem__(self, index):
            raise AssertionError("it is asked for no batch")

        def __getattr__(self, name):
            asked.append((name, sys._getframe(1).f_globals["__name__"].partition(".")[0]))
            raise AttributeError(name)

    model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="data adapter"):
        model.fit(Data())

    assert ("shape", "tf_keras") in asked


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # of Lightning's own
def test_the_loops_of_lightning_count_batches_so(tmp_path):
    torch = pytest.importorskip("torch")
    pl = pytest.importorskip("lightning.pytorch")
    counted = []

    class Counts(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            self.note(trainer)

        def on_train_batch_end(self, trainer, *_):
            self.note(trainer)

        def note(self, trainer):
            loop = trainer.fit_loop
            batches = loop.epoch_loop.batch_progress
            epochs = loop.epoch_progress.current
            place = (loop._data_fetcher.fetched, batches.current.ready, batches.current.processed)
            counted.append((*place, batches.is_last_batch, epochs.started - epochs.processed))
            assert not loop.epoch_loop.restarting
            assert not loop.restarted_on_epoch_end

    class Module(pl.LightningModule):
        def training_step(self, batch, _):
            return None

        def configure_optimizers(self):
            return None

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[Counts()],
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader([torch.zeros(1)] * 2))

    first, second = (
        [(1, 1, 0, False, 1), (1, 1, 1, False, 1)],
        [(2, 2, 1, True, 1), (2, 2, 2, True, 1)],
    )
    assert counted == first + second


def test_the_global_generator_of_numpy_has_that_name():
    mtrand: Any = np.random.mtrand

    assert np.random.random.__self__ is mtrand._rand
    assert isinstance(mtrand._rand, np.random.RandomState)


def test_a_random_state_has_its_bit_generator():
    bits = np.random.PCG64(1)
    state: Any = np.random.RandomState(bits)

    assert state._bit_generator is bits


def test_the_global_generator_of_random_has_that_name():
    own: Any = random

    assert random.random.__self__ is own._inst


@pytest.mark.torch
def test_accelerate_asks_the_loader_that_it_names_last():
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    from accelerate.state import AcceleratorState, GradientState, is_initialized

    class Loader:
        end_of_dataloader = False
        remainder = 3

    loader = Loader()
    assert not is_initialized()
    try:
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
        assert is_initialized()
        state = GradientState()
        assert state.dataloader_references == [None]
        state.dataloader_references = [None, loader]
        assert (state.in_dataloader, state.end_of_dataloader, state.remainder) == (True, False, 3)

        model = torch_model()
        for loader.end_of_dataloader in (False, True):
            with accelerator.accumulate(model):
                assert accelerator.sync_gradients is loader.end_of_dataloader
        assert accelerator.gather_for_metrics(model.weight).shape == (3, 1)

        del loader
        assert state.dataloader_references == [None, None]
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


def torch_model():
    import torch

    return torch.nn.Linear(1, 5)


@pytest.mark.torch
def test_torch_has_the_calls_that_page_lock_memory():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.backends.cuda.is_built():
        pytest.skip("this torch was built without CUDA")
    calls = torch.cuda._cudart  # what `cudart()` returns where there is a device

    assert calls.cudaGetErrorString(calls.cudaError.success) == "no error"
    assert int(calls.cudaError.success) == 0
    if not torch.cuda.is_available():  # and they answer with an error that has words
        status = calls.cudaHostRegister(4096, 4096, 1)
        assert status != calls.cudaError.success
        assert int(status) > 0
        assert calls.cudaGetErrorString(status)
        assert calls.cudaHostUnregister(4096) != calls.cudaError.success


def test_a_trainer_is_told_by_that_method_where_it_begins():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="torch is not installed")

    method = transformers.Trainer._init_training_state

    assert [*inspect.signature(method).parameters] == [
        "self", "max_steps", "num_update_steps_per_epoch", "num_train_epochs",
        "resume_from_checkpoint", "trial",
    ]  # fmt: skip
    assert inspect.signature(method).return_annotation in ("tuple[int, int]", tuple[int, int])


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
