"""Arrays of `seqloader.empty` are delivered without a copy, and behave as numpy's do."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from arena_ends import Ends

from seqloader import arrays
from seqloader.executors.process.wire.layouts import PICKLED

LARGE = 20_000  # float64 elements


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    arrays.install(ends.arena)
    yield ends
    ends.close()


def offset_of(ends: Ends, array: Any) -> int:
    """Where in the worker's mapping an array lies."""
    start = np.frombuffer(ends.arena.map, np.uint8, 1).ctypes.data
    return int(array.ctypes.data) - start


def make(value: float = 1.0, count: int = LARGE) -> Any:
    array = arrays.empty(count)
    array[:] = value
    return array


def test_outside_a_worker_they_are_numpys() -> None:
    arrays.install(None)

    assert arrays.empty((2, 3), "i4").base is None
    assert arrays.zeros(LARGE).sum() == 0
    assert arrays.stack([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (LARGE, float),
        ((100, LARGE), "u1"),
        (np.int64(LARGE), np.float32),
        ([10, LARGE], "M8[s]"),
        ((LARGE,), [("a", "i4"), ("b", "f8")]),
        (LARGE, (np.float32, (3,))),
        (LARGE, "U7"),
    ],
)
def test_shape_and_dtype_mean_what_they_mean_to_numpy(ends: Ends, shape: Any, dtype: Any) -> None:
    array = arrays.empty(shape, dtype)
    expected = np.empty(shape, dtype)

    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert array.strides == expected.strides
    assert type(array) is np.ndarray
    assert ends.arena.holds == 1


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((0, LARGE), float), ((), float), (3, "u1"), (LARGE, object), (LARGE, "S0")],
)
def test_small_and_object_arrays_are_numpys(ends: Ends, shape: Any, dtype: Any) -> None:
    array = arrays.empty(shape, dtype)

    assert array.shape == np.empty(shape, dtype).shape
    assert ends.arena.holds == 0


@pytest.mark.parametrize("shape", [-1, (LARGE, -1, -1), "ab", 2.5, (2.5, LARGE), None])
def test_bad_shapes_raise_what_numpy_raises(ends: Ends, shape: Any) -> None:
    try:
        np.empty(shape)
    except Exception as error:
        with pytest.raises(type(error)):
            arrays.empty(shape)
    else:
        assert arrays.empty(shape).shape == np.empty(shape).shape


def test_zeros_are_zeros_in_memory_that_was_used_before(ends: Ends) -> None:
    dirty = make(7.0)
    del dirty

    assert not arrays.zeros(LARGE).any()


def test_array_is_delivered_where_it_was_built(ends: Ends) -> None:
    ends.ticket()
    box = [(make(3.0), np.arange(4))]
    place = offset_of(ends, box[0][0])

    image, labels = ends.open(ends.send(box))

    assert image.ctypes.data - ends.view.address == place
    assert image.sum() == 3.0 * LARGE
    assert labels.tolist() == [0, 1, 2, 3]
    image[:] = 1


@pytest.mark.parametrize("repeats", [1, 3])
def test_bare_array_is_delivered_where_it_was_built(ends: Ends, repeats: int) -> None:
    for _ in range(repeats):
        ends.ticket()
        box = [make(5.0)]
        place = offset_of(ends, box[0])
        report = ends.send(box)
        got = ends.open(report)
        assert got.ctypes.data - ends.view.address == place
        assert (got == 5.0).all()


def test_array_in_a_pickled_batch_is_delivered_where_it_was_built(ends: Ends) -> None:
    ends.ticket()
    box = [{"image": make(3.0), "name": "a"}]
    place = offset_of(ends, box[0]["image"])

    report = ends.send(box)
    got = ends.open(report)

    assert report.layout == PICKLED
    assert got["image"].ctypes.data - ends.view.address == place
    assert got["image"].sum() == 3.0 * LARGE
    got["image"][0] = 1


@pytest.mark.parametrize("extra", [np.ones(2), "a name"], ids=["fast", "pickled"])
def test_all_blocks_of_a_batch_are_held_and_freed_each_by_its_own_arrays(
    ends: Ends, extra: Any
) -> None:
    ends.ticket()
    got = ends.open(ends.send([(make(1.0), make(2.0), extra)]))
    assert ends.arenas.held_batches == 1
    first = got[0]
    held = ends.arenas.held_bytes

    del got
    assert ends.arenas.held_batches == 1
    ends.ticket()

    assert 0 < ends.arenas.held_bytes < held
    assert ends.arenas.held_batches == 1
    assert (first == 1.0).all()
    del first
    assert (ends.arenas.held_bytes, ends.arenas.held_batches) == (0, 0)
    ends.ticket()
    assert (ends.arenas.held_bytes, ends.arenas.held_batches) == (0, 0)


def test_memory_goes_round(ends: Ends) -> None:
    for n in range(50):
        got = ends.carry_made(lambda n=n: (make(n), np.full(3, n)))
        assert (got[0] == n).all()
        del got

    assert ends.view.backed_bytes() < 4 * LARGE * 8


def test_discarded_batch_gives_all_its_blocks_back(ends: Ends) -> None:
    for extra in (np.ones(2), "name"):
        for _ in range(20):
            ends.ticket()
            ends.discard(ends.send([(make(), extra)]))

    assert ends.view.backed_bytes() < 5 * LARGE * 8


def views() -> dict[str, Any]:
    return {
        "slice": lambda a: a[100:],
        "reversed": lambda a: a[::-1],
        "transposed": lambda a: a.reshape(100, -1).T,
        "strided": lambda a: a.reshape(100, -1)[:, :-3],
        "other dtype": lambda a: a.view("u1"),
        "F order": lambda a: a.reshape((100, -1), order="F"),
        "frombuffer": lambda a: np.frombuffer(memoryview(a)[8:], "f8"),
    }


@pytest.mark.parametrize("extra", [np.ones(2), "a name"], ids=["fast", "pickled"])
@pytest.mark.parametrize("derive", views().values(), ids=views().keys())
def test_views_of_it_are_delivered_right(ends: Ends, derive: Any, extra: Any) -> None:
    for _ in range(2):
        base = make()
        base[:] = np.arange(LARGE)
        expected = derive(base).copy()
        ends.ticket()
        box = [(derive(base), extra)]
        del base
        got = ends.open(ends.send(box))[0]
        assert np.array_equal(got, expected)
        assert got.flags.writeable


def test_slices_of_one_array_share_its_block_and_alias(ends: Ends) -> None:
    base = make()
    ends.ticket()
    box = [(base[: LARGE // 2 + 10], base[LARGE // 2 :])]
    del base
    first, second = ends.open(ends.send(box))

    first[-10:] = 42

    assert (second[:10] == 42).all()


def test_reduction_of_it_is_delivered_and_its_memory_goes_round(ends: Ends) -> None:
    for n in range(10):
        got = ends.carry_made(lambda n=n: make(n).reshape(100, -1).mean(axis=1))
        assert (got == n).all()

    assert ends.view.backed_bytes() < 3 * LARGE * 8


def test_few_bytes_of_a_large_block_are_copied_and_do_not_keep_it(ends: Ends) -> None:
    got = ends.carry_made(lambda: make(2.0)[:10])
    ends.ticket()

    assert (got == 2.0).all()
    assert ends.arenas.held_bytes == 4096


@pytest.mark.parametrize("extra", [np.ones(2), "a name"], ids=["fast", "pickled"])
def test_cached_array_is_copied_each_time_and_never_shared(ends: Ends, extra: Any) -> None:
    cache = make(1.0)

    for n in range(4):
        cache[:] = n
        got = ends.carry((cache, extra))[0]
        assert (got == n).all()
        got[:] = -1
        assert (cache == n).all()
        cache[:] = 99
        assert (got == -1).all()


def test_cached_slice_keeps_the_memory_from_use(ends: Ends) -> None:
    kept: list[Any] = []

    def build() -> Any:
        array = make(5.0)
        kept.append(array[LARGE - 10 :])
        return array

    got = ends.carry_made(build)
    for n in range(5):
        ends.carry_made(lambda n=n: make(n))
    got[:] = 0

    assert (kept[0] == 5.0).all()


def test_memory_is_used_again_once_the_cache_lets_go(ends: Ends) -> None:
    cache = [make(1.0)]
    ends.carry(cache[0])
    place = offset_of(ends, cache[0])

    cache.clear()

    assert offset_of(ends, make()) == place


def test_array_that_a_thread_still_writes_is_not_shared(ends: Ends) -> None:
    go_on, done = threading.Event(), threading.Event()
    array = make(1.0)

    def write(array: Any) -> None:
        go_on.wait()
        array[:] = 2.0
        done.set()

    thread = threading.Thread(target=write, args=(array,))
    thread.start()
    box = [array]
    del array
    ends.ticket()
    got = ends.open(ends.send(box))
    go_on.set()
    done.wait()
    thread.join()

    assert (got == 1.0).all()


def test_array_in_a_cycle_is_copied_and_freed_with_the_cycle(ends: Ends) -> None:
    class Node:
        pass

    def build() -> Any:
        node = Node()
        node.me = node  # type: ignore[attr-defined]
        node.array = make(3.0)  # type: ignore[attr-defined]
        return node.array  # type: ignore[attr-defined]

    gc.disable()
    try:
        got = ends.carry_made(build)
        ends.ticket()
        held = ends.arena.holds
    finally:
        gc.enable()
    gc.collect()
    make()

    assert (got == 3.0).all()
    assert held == 1
    assert ends.arena.holds <= 1


def test_unused_arrays_are_free_when_they_die(ends: Ends) -> None:
    for _ in range(20):
        make()

    assert ends.view.backed_bytes() < 2 * LARGE * 8


def test_user_threads_may_build_arrays_at_once(ends: Ends) -> None:
    wrong: list[float] = []

    def build(value: float) -> None:
        for _ in range(50):
            array = make(value)
            if not (array == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=build, args=(float(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_read_only_array_is_copied(ends: Ends) -> None:
    def build() -> Any:
        array = make(3.0)
        array.flags.writeable = False
        return array

    got = ends.carry_made(build)

    assert got.flags.writeable
    assert (got == 3.0).all()


def test_fork_builds_its_arrays_elsewhere(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: -1)

    array = arrays.empty(LARGE)

    assert array.base is None


def test_no_memory_for_an_array_is_a_memory_error() -> None:
    ends = Ends(available=lambda: 1000)
    arrays.install(ends.arena)

    with pytest.raises(MemoryError, match="1000 bytes are available"):
        arrays.empty(1_000_000)

    ends.close()


def test_no_memory_for_a_copy_raises_and_leaves_everything_usable(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make(1.0)
    ends.ticket()
    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", _refuse_large)
        with pytest.raises(MemoryError):
            ends.send([(cache, np.ones(2))])

    assert (ends.carry((cache, np.ones(2)))[0] == 1.0).all()


def _refuse_large(fd: int, offset: int, size: int) -> None:
    if size > 8192:
        raise OSError(28, "No space left on device")


def test_stack_copies_into_one_array(ends: Ends) -> None:
    rows = [np.full((100, 100), n, np.float32) for n in range(10)]

    stacked = arrays.stack(row for row in rows)

    assert np.array_equal(stacked, np.stack(rows))
    assert stacked.dtype == np.float32
    assert ends.arena.holds == 1


def test_stack_names_the_element_that_differs() -> None:
    with pytest.raises(ValueError, match=r"element 2 has shape \(3,\), element 0 has \(2,\)"):
        arrays.stack([np.ones(2), np.ones(2), np.ones(3)])
    with pytest.raises(ValueError, match="element 1 has dtype int64"):
        arrays.stack([np.ones(2), np.ones(2, np.int64)])
    with pytest.raises(ValueError, match="at least one"):
        arrays.stack([])
