"""Arrays of `seqloader.shared_empty` and `share` are numpy's own, in memory that can be lent."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys

import numpy as np
import pytest
from interpreter import run_code
from published import answer_of, start_child

import seqloader
from seqloader.memory import mapping, memfile
from seqloader.memory import shared_arrays as sharing
from seqloader.memory.shared_arrays import memory_of, share, shared_empty

LARGE = 1 << 18


def mappings() -> list[str]:
    with open("/proc/self/maps") as maps:
        return [line for line in maps if "seqloader-shared" in line]


# --- what they are -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (LARGE, float),
        (1, "u1"),
        ((100, 7), "i4"),
        (np.int64(40), np.float32),
        ([3, 4, 5], "M8[s]"),
        ((9,), [("a", "i4"), ("b", "f8")]),
        (8, (np.float32, (3,))),
        (5, "U7"),
        ((), ">i2"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_shared_array_is_what_numpy_would_make(shape, dtype, order):
    like = np.empty(shape, dtype, order)

    array = shared_empty(shape, dtype, order)

    assert type(array) is np.ndarray
    assert (array.shape, array.dtype, array.strides) == (like.shape, like.dtype, like.strides)
    assert array.flags.writeable and array.flags.aligned
    assert memory_of(array) is not None
    array[...] = np.ones(like.shape, like.dtype)
    assert (array == np.ones(like.shape, like.dtype)).all()


@pytest.mark.parametrize("shape", [0, (3, 0, 2)])
def test_an_empty_array_takes_no_memory(shape):
    array = shared_empty(shape, "f4")

    assert (array.shape, array.dtype) == (np.empty(shape).shape, np.float32)
    assert not mappings()
    assert share(array).shape == array.shape


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ((3, object), TypeError, "Python objects"),
        ((3, [("a", "O")]), TypeError, "Python objects"),
        ((-3,), ValueError, "negative"),
        (((3, -1, 0),), ValueError, "negative"),
        (("3",), TypeError, "integer"),
        ((3, float, "K"), ValueError, 'order must be "C" or "F"'),
        ((1 << 60,), MemoryError, "bytes are available"),
    ],
)
def test_what_cannot_be_shared_is_refused(arguments, kind, says):
    with pytest.raises(kind, match=says):
        shared_empty(*arguments)

    assert not mappings()


# --- share ---------------------------------------------------------------------------------


ARRAYS = {
    "plain": lambda: np.arange(LARGE),
    "fortran": lambda: np.asfortranarray(np.arange(LARGE).reshape(512, -1)),
    "transposed": lambda: np.arange(LARGE).reshape(64, 64, -1).transpose(1, 2, 0),
    "strided": lambda: np.arange(2 * LARGE)[::2],
    "backwards": lambda: np.arange(LARGE)[::-1],
    "broadcast": lambda: np.broadcast_to(np.arange(512), (512, 512)),
    "structured": lambda: np.ones(LARGE, [("a", "<i4"), ("b", "u1", (3,))]),
    "datetime": lambda: np.arange(LARGE).astype("M8[s]"),
    "half": lambda: (np.arange(LARGE) % 1000).astype(np.float16),
    "big-endian": lambda: np.arange(LARGE).astype(">i4"),
    "text": lambda: np.arange(LARGE).astype("U6"),
    "bool": lambda: np.arange(LARGE) % 3 == 0,
    "records": lambda: np.rec.fromarrays([np.arange(LARGE), np.ones(LARGE)], names="a,b"),
    "matrix": lambda: np.arange(4096).reshape(64, 64).view(np.matrix),
    "scalar": lambda: np.array(5.0),
    "more than one chunk": lambda: np.arange(LARGE * 20),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", ARRAYS)
def test_share_copies_every_kind_of_array(kind):
    array = ARRAYS[kind]()

    shared = share(array)

    assert type(shared) is np.ndarray
    assert shared.flags.writeable
    assert (shared.dtype, shared.shape) == (array.dtype, array.shape)
    assert shared.tobytes() == np.asarray(array).tobytes()
    assert shared.flags.f_contiguous == np.array(array, order="K").flags.f_contiguous or not (
        array.flags.forc
    )
    assert not np.shares_memory(shared, array)


def test_share_takes_what_numpy_takes():
    assert share([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert share(5).tolist() == 5


def test_share_returns_what_is_shared_as_it_is():
    array = shared_empty((8, 8))
    part = array.T[2:, ::-2]

    assert share(array) is array
    assert share(part) is part


def test_share_of_a_masked_array_does_not_lose_the_mask():
    with pytest.raises(TypeError, match=r"\.mask"):
        share(np.ma.masked_less(np.arange(5), 3))


def test_share_of_objects_is_refused():
    with pytest.raises(TypeError, match="Python objects"):
        share(np.array([{}, None]))


# --- elsewhere it is an ordinary array -----------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [
        lambda a: pickle.loads(pickle.dumps(a)),
        lambda a: pickle.loads(pickle.dumps(a, 5)),
        copy.copy,
        copy.deepcopy,
        np.copy,
        lambda a: a + 0,
    ],
)
def test_a_copy_is_an_ordinary_array(copied):
    array = share(np.arange(1000))

    other = copied(array)
    array[:] = 0

    assert memory_of(other) is None
    assert other.tolist() == list(range(1000))


def test_another_array_is_not_taken_for_a_shared_one():
    shared = shared_empty(100)

    assert memory_of(np.empty(100)) is None
    assert memory_of(np.empty(100)[5:]) is None
    assert memory_of(shared[:0]) is None
    assert memory_of(np.frombuffer(b"0123456789", "u1")) is None


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[7:9],
        lambda a: a[::-3],
        lambda a: a.reshape(50, 2, 10).transpose(2, 0, 1),
        lambda a: a.view("u1")[3:],
        lambda a: a.view(">f8"),
        lambda a: np.frombuffer(memoryview(a)[5:], "f8"),
        lambda a: a.view(np.recarray),
        lambda a: np.asarray(memoryview(a)),
    ],
)
def test_a_view_is_known_as_shared(view):
    array = shared_empty(1000)

    assert memory_of(view(array)) is memory_of(array)


# --- how long it lives ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "derived",
    [
        lambda a: a,
        lambda a: a[5:6],
        lambda a: a.reshape(10, 100).T,
        lambda a: memoryview(a)[3:],
        lambda a: np.frombuffer(a, "u1"),
        lambda a: [a, lambda: a],
    ],
)
def test_memory_lives_as_long_as_anything_refers_to_it(derived):
    array = shared_empty(1000)
    kept = derived(array)
    del array
    assert len(mappings()) == 1

    del kept
    assert not mappings()
    assert not sharing.live_memories()


def test_an_array_in_a_cycle_is_let_go_of_with_it():
    cycle = [shared_empty(1000)]
    cycle.append(cycle)

    del cycle
    gc.collect()

    assert not mappings()


def test_each_takes_one_descriptor_and_gives_it_back():
    before = len(os.listdir("/proc/self/fd"))
    arrays = [shared_empty(10) for _ in range(5)]
    during = len(os.listdir("/proc/self/fd"))
    del arrays

    assert (during - before, len(os.listdir("/proc/self/fd"))) == (5, before)


def test_a_forked_child_keeps_what_its_parent_drops():
    kept = [share(np.arange(1000))]
    heard, tell = os.pipe()
    child = start_child(lambda: (os.read(heard, 1), int(kept[0][999]))[1])

    kept.clear()
    assert not mappings()
    os.write(tell, b"x")

    assert answer_of(*child) == 999
    os.close(heard)
    os.close(tell)


def test_a_program_ends_quietly_with_shared_arrays():
    script = (
        "import seqloader, numpy as np, gc, sys\n"
        "kept = seqloader.share(np.arange(100_000)); part = kept[5:]\n"
        "cycle = [seqloader.shared_empty(9)]; cycle.append(cycle)\n"
        "class Late:\n"
        "    array = kept\n"
        "    def __del__(self): self.array[3] += 1\n"
        "late = Late(); sys.late = late\n"
    )
    completed = run_code(script)

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")


# --- without ------------------------------------------------------------------------------


def test_without_memfd_it_is_a_file_without_a_name(monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", "memfd")

    array = share(np.arange(1000))

    memory = memory_of(array)
    assert memory is not None
    assert os.fstat(memory.fd).st_nlink == 0
    assert array.sum() == 499_500


def test_without_the_c_library_python_maps_it(monkeypatch):
    monkeypatch.setattr(mapping, "_libc", lambda: None)

    array = share(np.arange(1000))
    kept = array[5:]
    del array

    assert kept.tolist() == list(range(5, 1000))
    del kept
    assert not mappings()


def test_on_windows_it_is_an_ordinary_array(monkeypatch):
    # There are threads only, which have it as it is.
    monkeypatch.setattr(sys, "platform", "win32")

    array = seqloader.shared_empty((3, 4), "i4")

    assert array.shape == (3, 4)
    assert memory_of(array) is None
    assert share(np.arange(3)).tolist() == [0, 1, 2]


def test_too_many_open_files_are_said_to_be_that():
    script = (
        "import resource, seqloader\n"
        "seqloader.shared_empty(1)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
        "try:\n"
        "    kept = []\n"
        "    while True: kept.append(seqloader.shared_empty(10))\n"
        "except OSError as error:\n"
        "    print(len(kept) > 20, error)\n"
    )
    completed = run_code(script)

    assert completed.stderr == ""
    assert completed.stdout.startswith("True [Errno 24] no shared memory for an array of 80 bytes")
    assert "one open file" in completed.stdout and "ulimit -n" in completed.stdout


def test_where_no_shared_memory_can_be_had_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQLOADER_WITHOUT", "memfd")
    monkeypatch.setattr(memfile, "_roomy_folder", lambda: str(tmp_path / "absent"))

    with pytest.raises(OSError, match="no shared memory for an array of 80 bytes"):
        shared_empty(10)


def test_memory_that_cannot_be_reserved_is_a_memory_error(monkeypatch):
    def refuse(fd, offset, nbytes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)

    with pytest.raises(MemoryError, match="No space left"):
        shared_empty(10)
    assert not mappings()
