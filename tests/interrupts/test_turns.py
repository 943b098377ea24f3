"""Threads that take turns: a batch that one of them never received is the next one's.

The main thread asks for a batch, an asynchronous exception arrives somewhere inside, and it never
comes back; another thread goes on with the same iterator.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from arrivals import Arrival, Interrupt

from seqloader import OrderedEnqueuer, Sequence
from seqloader.testing import within

LENGTH = 6


class Six(Sequence[Any]):
    """Batches that name their index."""

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int, /) -> Any:
        return np.full(2, index)


def taken_by_another_thread(call: Any) -> Any:
    """What `call()` returns in a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(30.0)
    return found[0]


def some(iterator: Any, count: int) -> list[int]:
    return values(itertools.islice(iterator, count))


def values(batches: Any) -> list[int]:
    return [int(batch[0]) for batch in batches]


@pytest.mark.parametrize("asked", ["for", "get"])
@pytest.mark.parametrize("executor", ["inline", "thread"])
def test_a_thread_that_never_comes_back_takes_no_batch_with_it(executor, asked):
    wrong, points = [], 0
    for at in itertools.count(1):
        arrival = Arrival(at)
        workers = {"workers": 0} if executor == "inline" else {"executor": "thread", "workers": 1}
        enqueuer = OrderedEnqueuer(Six(), **workers)
        iterator = iter(enqueuer) if asked == "for" else enqueuer.get()
        batches = values([next(iterator)])
        with contextlib.suppress(Interrupt):
            batches += values([arrival.call(next, iterator)])
        saved = enqueuer.state_dict()["position"]
        if not enqueuer.is_running():
            continue

        rest = taken_by_another_thread(partial(some, iterator, LENGTH - len(batches)))
        enqueuer.stop()

        points += 1
        if saved != len(batches) or batches + rest != list(range(LENGTH)):
            wrong.append(f"{arrival.armed}: saved {saved}, {batches} and then {rest}")
        if arrival.armed is None:
            break
    assert not wrong, "\n".join(wrong)
    assert points > 20


def test_the_last_batch_is_not_lost_where_another_thread_ends_the_epoch():
    enqueuer = OrderedEnqueuer(Six(), workers=0)
    iterator = iter(enqueuer)
    batches = values(itertools.islice(iterator, LENGTH - 1))
    interrupt_before_the_last_act(enqueuer, iterator)

    taken_by_another_thread(enqueuer.join_end_of_epoch)  # there is something left of it
    batches += taken_by_another_thread(lambda: values(iterator))

    assert batches == list(range(LENGTH))
    assert enqueuer.epoch == 1
    enqueuer.stop()


def interrupt_before_the_last_act(enqueuer: Any, iterator: Any) -> None:
    """Ask for a batch, and be interrupted when it has been found and not been taken."""
    delivery = enqueuer._delivery
    find = delivery.next_of_epoch

    def find_and_raise(iterator: Any) -> Any:
        find(iterator)
        raise Interrupt

    delivery.next_of_epoch = find_and_raise
    try:
        with pytest.raises(Interrupt):
            next(iterator)
    finally:
        del delivery.next_of_epoch


@pytest.mark.parametrize("change", ["skip", "seek", "iter", "stop"])
def test_a_batch_that_was_found_and_not_taken_follows_the_run(change):
    enqueuer = OrderedEnqueuer(Six(), workers=0)
    iterator = iter(enqueuer)
    batches = values([next(iterator)])
    interrupt_before_the_last_act(enqueuer, iterator)

    if change == "skip":
        taken_by_another_thread(lambda: enqueuer.skip([1]))
        assert values(iterator) == [2, 3, 4, 5]
    elif change == "seek":
        taken_by_another_thread(lambda: enqueuer.seek(0, 4))
        assert values(enqueuer) == [4, 5]
    elif change == "iter":
        assert taken_by_another_thread(lambda: values(enqueuer)) == list(range(LENGTH))
    else:
        enqueuer.stop()
        assert values(enqueuer) == list(range(LENGTH))
    assert batches == [0]
    enqueuer.stop()


def test_a_batch_found_by_two_threads_is_given_to_one():
    enqueuer = OrderedEnqueuer(Six(), workers=0)
    iterator = iter(enqueuer)
    found, go_on = threading.Event(), threading.Event()
    first: list[Any] = []

    def stand_still(frame: Any, event: str, arg: Any) -> Any:
        if event == "return" and frame.f_code.co_name == "next_of_epoch" and not found.is_set():
            found.set()
            assert go_on.wait(30.0)
        return stand_still

    def ask() -> None:
        sys.settrace(stand_still)
        first.append(next(iterator))
        sys.settrace(None)

    thread = threading.Thread(target=ask)
    thread.start()
    assert found.wait(30.0)  # it has found batch 0, and let go of the lock
    second = within(30.0, next, iterator)
    go_on.set()
    thread.join(30.0)

    assert values([second, *first]) == [0, 1]
    assert values(iterator) == [2, 3, 4, 5]
    assert enqueuer.stats().delivered == LENGTH
    enqueuer.stop()
