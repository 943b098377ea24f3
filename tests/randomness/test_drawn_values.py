from __future__ import annotations

import random
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloader import OrderedEnqueuer, SeqloaderWarning, Sequence, batch_context
from seqloader.randomness.drawn_values import Disagreements, Noticed, Watched


def test_two_values_of_which_one_is_kept_are_a_disagreement_said_once() -> None:
    judge = Disagreements()

    assert not judge.take(Noticed(1, "order", b"a", False))
    assert not judge.take(Noticed(1, "order", b"a", True))
    assert judge.take(Noticed(1, "order", b"b", False))
    assert not judge.take(Noticed(1, "order", b"c", True))


def test_values_that_no_second_batch_confirms_are_none() -> None:
    judge = Disagreements()

    assert not judge.take(Noticed(1, "last", b"a", False))
    assert not judge.take(Noticed(1, "last", b"b", False))


def test_values_of_another_state_or_another_start_are_not_compared() -> None:
    judge = Disagreements()
    judge.take(Noticed(1, "order", b"a", True))

    assert not judge.take(Noticed(2, "order", b"b", True))
    judge.forget()
    assert not judge.take(Noticed(2, "order", b"c", True))


class Batches(Sequence):
    """Computes something, in a process that waits until both have begun."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.order: Any = None
        self.begun = False

    def __len__(self) -> int:
        return 8

    def meet(self, index: int) -> None:
        if not self.begun:
            self.begun = True
            (self.scratch / f"begun-{index}").touch()
            until = time.monotonic() + 30
            while len(list(self.scratch.iterdir())) < 2 and time.monotonic() < until:
                time.sleep(0.005)

    def __getitem__(self, index: int) -> Any:
        self.meet(index)
        return self.batch(index)

    def batch(self, index: int) -> Any:
        raise NotImplementedError


class DrawsOrder(Batches):
    def batch(self, index: int) -> Any:
        if self.order is None:
            self.order = np.random.permutation(16)
        return self.order[2 * index : 2 * index + 2]


class ShufflesInPlace(Batches):
    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.order, self.shuffled = np.arange(16), False

    def batch(self, index: int) -> Any:
        if not self.shuffled:
            np.random.shuffle(self.order)
            self.shuffled = True
        return self.order[2 * index : 2 * index + 2]


class DrawsByTheBatchsOwn(Batches):
    def batch(self, index: int) -> Any:
        if self.order is None:
            self.order = batch_context().rng.permutation(16)
        return self.order[2 * index : 2 * index + 2]


class LoadsAndAugmentsByTheBatchsOwn(Batches):
    """Each worker has another part of the file, and keeps it for its next batch."""

    def batch(self, index: int) -> Any:
        if self.order is None:
            self.order = np.arange(16.0) + index
        return self.order + batch_context().rng.random(16)


class Inner:
    order: Any = None


class DrawsInside(Batches):
    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.inner = Inner()

    def batch(self, index: int) -> Any:
        if self.inner.order is None:
            self.inner.order = random.sample(range(16), 16)
        return self.inner.order[2 * index : 2 * index + 2]


class LoadsAndAugments(Batches):
    """All that is harmless: loaded, cached, counted, and traces of the last batch."""

    data: Any = None
    rng: Any = None
    file: Any = None
    calls = 0

    def open(self) -> Any:
        return open("/dev/null", "rb")

    def batch(self, index: int) -> Any:
        if self.data is None:
            self.data = np.arange(16.0)
            self.file = self.open()
            self.cache: dict[int, Any] = {}
            self.rng = np.random.default_rng()
        self.calls += 1
        self.cache[index] = self.calls
        self.last = self.data + np.random.random(16) + self.rng.random()
        return self.last, random.random()


def said(sequence: Any, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with OrderedEnqueuer(sequence, workers=2, **options) as enqueuer:
            list(enqueuer)
    assert all(issubclass(one.category, SeqloaderWarning) for one in caught)
    return [str(one.message).partition(":")[0] for one in caught]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"seed": 0},
    {"start_method": "fork"},
    {"start_method": "fork", "seed": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_order_that_each_worker_draws_is_named(options: Any, tmp_path: Path) -> None:
    assert said(DrawsOrder(tmp_path), **options) == ["sequence.order"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", [ShufflesInPlace, DrawsByTheBatchsOwn])
def test_an_order_shuffled_in_place_or_by_the_batchs_own_generator_is_named(
    kind: Any, options: Any, tmp_path: Path
) -> None:
    assert said(kind(tmp_path), **options) == ["sequence.order"]


def test_what_is_loaded_beside_the_batchs_own_generator_is_not_named(tmp_path: Path) -> None:
    assert said(LoadsAndAugmentsByTheBatchsOwn(tmp_path)) == []


def test_an_order_drawn_in_an_object_of_the_sequence_is_named(tmp_path: Path) -> None:
    assert said(DrawsInside(tmp_path)) == ["sequence.inner.order"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_loaded_cached_and_counted_is_not_named(options: Any, tmp_path: Path) -> None:
    assert said(LoadsAndAugments(tmp_path), **options) == []


class DrawnByTwoThreads(Sequence):
    """Two threads find no order. The second one's comes when the first has kept its own."""

    def __init__(self) -> None:
        self.order: Any = None
        self.calls = 0
        self.both_drew = threading.Barrier(2)
        self.kept = threading.Event()

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        if self.order is None:
            drawn = np.random.permutation(16)
            if self.both_drew.wait(30):
                self.kept.wait(30)
            self.order = drawn
        self.calls += 1
        if self.calls == 3:
            self.kept.set()
        return self.order[2 * index : 2 * index + 2]


@pytest.mark.parametrize("options", [{}, {"seed": 0}], ids=str)
def test_an_order_that_threads_draw_at_the_same_time_is_named(options: Any) -> None:
    threads = {"use_multiprocessing": False, "max_queue_size": 8}

    assert said(DrawnByTwoThreads(), **threads, **options) == ["sequence.order"]


class LoadsInThreads(LoadsAndAugments):
    def open(self) -> Any:
        return None  # it would be left open in this process


def test_what_threads_load_cache_and_count_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "other").touch()

    assert said(LoadsInThreads(tmp_path), use_multiprocessing=False) == []


def test_inline_there_is_one_order_and_nothing_to_say(tmp_path: Path) -> None:
    sequence = DrawsOrder(tmp_path)
    (tmp_path / "other").touch()
    with OrderedEnqueuer(sequence, workers=0) as enqueuer:
        samples = sorted(int(sample) for batch in enqueuer for sample in batch)

    assert samples == list(range(16))


class Cached:
    def __init__(self) -> None:
        self.table: Any = None

    def __getitem__(self, index: int) -> Any:
        if self.table is None:
            self.table = np.arange(3)
        return self.table


def test_what_is_bound_while_no_generator_moves_is_not_noticed() -> None:
    watched = Watched(Cached(), ())

    watched[0]

    assert watched.drawn == {}
