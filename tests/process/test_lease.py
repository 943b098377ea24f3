"""A block is free when the last thing that refers to it dies, and never before."""

from __future__ import annotations

import ctypes
import gc
import io
import os
import pickle
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arena_ends import Ends
from interpreter import run_code

from seqloader.tickets import RebuildError


class Subclass(np.ndarray):
    pass


class Cycle:
    def __init__(self, array: Any) -> None:
        self.array = array
        self.me = self


def _torch(array: Any) -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return torch.from_numpy(array)


def _torch_slice(array: Any) -> Any:
    return _torch(array)[2:, ::2]


DERIVATIONS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda a: a,
    "slice": lambda a: a[2:5],
    "slice of a slice": lambda a: a[2:][1:, 1:],
    "strided": lambda a: a[::2, ::-1],
    "one row": lambda a: a[3],
    "0-d": lambda a: a[3, 3, ...],
    "transposed": lambda a: a.T,
    "reshaped": lambda a: a.reshape(-1),
    "ravelled": lambda a: a.ravel(),
    "squeezed": lambda a: a[None].squeeze(),
    "other dtype": lambda a: a.view(np.uint8),
    "subclass": lambda a: a.view(Subclass),
    "asarray": lambda a: np.asarray(a[1:]),
    "memoryview": memoryview,
    "memoryview slice": lambda a: memoryview(a)[1:],
    "frombuffer": lambda a: np.frombuffer(a, np.float32),
    "frombuffer of a memoryview": lambda a: np.frombuffer(memoryview(a).cast("B")[8:], np.uint8),
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
    "as_strided": lambda a: np.lib.stride_tricks.as_strided(a, (2, 2)),
    "sliding window": lambda a: np.lib.stride_tricks.sliding_window_view(a, 3, axis=0),
    "ufunc's out": lambda a: np.add(a, 0, out=a),
    "array interface": lambda a: np.asarray(_Interface(a)),
    "ctypes": lambda a: (ctypes.c_double * a.size).from_buffer(a),
    "ctypes pointer": lambda a: np.ctypeslib.as_array(np.ctypeslib.as_ctypes(a)),
    "pickle buffer": pickle.PickleBuffer,
    "flat iterator": lambda a: a.flat,
    "bytes io": lambda a: io.BytesIO(a).getbuffer() and memoryview(a),
    "real part": lambda a: a.view(np.complex128).real,
    "masked": np.ma.masked_array,
    "memmap-like base": lambda a: a.base,
    "cycle": Cycle,
    "closure": lambda a: lambda: a,
    "torch": _torch,
    "torch slice": _torch_slice,
}


class _Interface:
    def __init__(self, array: Any) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


@pytest.mark.parametrize("layout", ["fast", "pickled"])
@pytest.mark.parametrize("derive", DERIVATIONS.values(), ids=DERIVATIONS.keys())
def test_block_is_free_when_the_last_alias_dies_and_not_before(
    ends: Ends, derive: Callable[[Any], Any], layout: str
) -> None:
    batch: Any = (np.arange(48.0).reshape(8, 6), None if layout == "pickled" else np.ones(3))
    ends.ticket()
    report = ends.send([batch])
    batch = ends.open(report)
    before = batch[0].copy()
    alias = derive(batch[0])

    batch = None

    assert not ends.is_free(report.block)
    ends.carry((np.zeros((8, 6)), np.zeros(3)))  # what was free would be written over
    lease = np.frombuffer(ends.view.read(report.offset, report.size), np.float64)
    assert before.tobytes() in lease.tobytes()
    del alias
    assert ends.is_free(report.block)


def test_any_of_several_arrays_holds_the_block(ends: Ends) -> None:
    ends.ticket()
    report = ends.send([{"a": np.ones(4), "b": np.ones(5)}])
    batch = ends.open(report)
    b = batch["b"]
    del batch

    assert not ends.is_free(report.block)
    del b
    assert ends.is_free(report.block)


def test_lease_ends_in_whatever_thread_drops_it(ends: Ends) -> None:
    ends.ticket()
    report = ends.send([np.ones(4)])
    box = [ends.open(report)]

    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()

    assert ends.is_free(report.block)


def test_lease_outlives_arena_and_pool() -> None:
    ends = Ends()
    array = ends.carry(np.arange(1000.0))
    view = weakref.ref(ends.view)
    ends.close()
    del ends
    gc.collect()

    assert view() is not None
    assert array.sum() == 499_500
    array[:] = 1
    del array
    gc.collect()
    assert view() is None  # and so its memory is unmapped


def test_mapping_goes_with_the_last_lease() -> None:
    ends = Ends()
    keep = ends.carry(np.arange(10.0))
    inode = os.fstat(ends.fd).st_ino
    ends.close()
    del ends
    gc.collect()
    assert f" {inode} " in Path("/proc/self/maps").read_text()

    del keep

    assert f" {inode} " not in Path("/proc/self/maps").read_text()


def test_finalizers_of_a_cycle_may_still_read_the_memory() -> None:
    ends = Ends()
    read: list[int] = []

    class Reader:
        def __init__(self, view: memoryview) -> None:
            self.view = view
            self.me = self

        def __del__(self) -> None:
            read.append(sum(self.view.cast("B")))

    gc.disable()
    try:
        Reader(memoryview(ends.carry(np.ones(10_000, np.uint8)).base))
        ends.close()
        del ends
    finally:
        gc.enable()
    gc.collect()  # all of it is garbage at once: array, lease, arena, mapping

    assert len(read) == 1  # and did not crash


def test_views_take_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    ends = Ends()
    kept = [ends.carry(np.full(10, n)) for n in range(200)]
    ends.close()
    del ends
    gc.collect()

    assert len(os.listdir("/proc/self/fd")) == before
    assert [int(array[0]) for array in kept] == list(range(200))


def test_held_bytes_and_batches_are_counted_until_free(ends: Ends) -> None:
    first = ends.carry(np.ones(4))
    second = ends.carry((np.ones(4), "a name"))
    assert (ends.arenas.held_batches, ends.arenas.held_bytes) == (2, 8192)

    del first, second
    ends.ticket()

    assert (ends.arenas.held_batches, ends.arenas.held_bytes) == (0, 0)


def test_interrupted_lease_says_nothing_and_frees_nothing(ends: Ends) -> None:
    lease = ends.view.lease(1 << 16, 4096, 9)
    del lease.hold  # as if the exception had come before it was set

    del lease

    assert not ends.arenas.freed


def test_forked_child_neither_frees_nor_punches(ends: Ends) -> None:
    array = ends.carry(np.arange(100_000.0))
    pid = os.fork()
    if pid == 0:
        try:
            del array
            ends.arenas.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    assert array.sum() == np.arange(100_000.0).sum()


def test_leases_that_live_at_exit_are_silent() -> None:
    code = (
        "import numpy as np; from arena_ends import Ends; ends = Ends();"
        "keep = [ends.carry(np.ones(9)) for _ in range(9)]; me = [keep]; me.append(me);"
        "keep.append(lambda: ends)"
    )

    done = run_code(code)

    assert (done.returncode, done.stderr) == (0, "")


def test_failing_rebuild_frees_the_block_with_its_exception(ends: Ends) -> None:
    ends.ticket()
    report = ends.send([(np.ones(1000), Unloadable())])

    with pytest.raises(RebuildError) as caught:
        ends.open(report)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert ends.is_free(report.block)


def test_failing_rebuild_frees_the_block_while_the_exception_is_kept(ends: Ends) -> None:
    ends.ticket()
    report = ends.send([(np.ones(1000), Unloadable())])
    with pytest.raises(RebuildError) as caught:
        ends.open(report)

    assert ends.is_free(report.block)
    assert caught.value.__traceback__ is not None


class Unloadable:
    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise ZeroDivisionError


def test_private_memory_frees_the_block_at_once() -> None:
    ends = Ends(copy=True)
    for batch in (np.ones((3, 4), order="F"), (np.ones(5), "text"), [np.arange(6)[::2]]):
        ends.ticket()
        report = ends.send([batch])
        opened = ends.open(report)
        assert ends.is_free(report.block)
        assert ends.arenas.held_bytes == 0
        opened[0][...] = 7
    ends.close()
