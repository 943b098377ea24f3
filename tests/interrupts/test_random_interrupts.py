"""P11 by luck: real signals and real asynchronous exceptions at instants that nobody chose."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import threading
import time
from collections import Counter
from typing import Any, Final

import numpy as np
import pytest
from arrivals import Interrupt, dropped_in_finalizers

from seqloader import OrderedEnqueuer, Sequence

INTERRUPTS: Final = int(os.environ.get("SEQLOADER_INTERRUPTS", "0"))
"""How many, for a soak; 0: each test's own number."""

EXECUTORS: Final[dict[str, dict[str, Any]]] = {
    "inline": {"workers": 0},
    "thread": {"workers": 2, "use_multiprocessing": False},
    "spawn": {"workers": 2},
    "fork": {"workers": 2, "start_method": "fork"},
}


class Tiny(Sequence[Any]):
    """Batches that name epoch state and index, computed in no time or in a little."""

    def __init__(self, length: int, pause_s: float = 0.0) -> None:
        self.length = length
        self.pause_s = pause_s
        self.ended = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        if self.pause_s:
            time.sleep(self.pause_s)
        return np.array([self.ended, index])

    def on_epoch_end(self) -> None:
        self.ended += 1


class Alarm:
    """A timer whose handler raises, at most once each time it is set."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._armed = False
        self.raised = 0

    def __enter__(self) -> Alarm:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._before)

    def set(self, most_s: float) -> None:
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, self._random.uniform(1e-6, most_s))

    def off(self) -> None:
        self._armed = False

    def _ring(self, signum: int, frame: object) -> None:
        if self._armed:
            self._armed = False
            self.raised += 1
            raise Interrupt


def one_epoch(enqueuer: OrderedEnqueuer[Any], alarm: Alarm, most_s: float) -> list[Any]:
    """The batches of an epoch, gone on with after each interrupt; all of one state."""
    got: list[Any] = []
    iterator = None
    while True:
        try:
            alarm.set(most_s)
            if iterator is None:
                iterator = iter(enqueuer)
            # Between the end of `next()` and the end of `append` Python handles no signal.
            for batch in iterator:
                got.append(batch)
            alarm.off()
            return [batch.tolist() for batch in got]
        except Interrupt:
            if not enqueuer.is_running():  # it hit the beginning or the hook: the epoch anew
                got, iterator = [], None


@pytest.mark.chaos
@pytest.mark.limit(3600 if INTERRUPTS else 180)
@pytest.mark.parametrize(
    ("executor", "count", "most_s"),
    [("inline", 300, 2e-3), ("thread", 300, 2e-3), ("fork", 100, 2e-2), ("spawn", 30, 5e-2)],
)
def test_alarms_at_random_instants_lose_no_batch(executor, count, most_s):
    sequence = Tiny(60)
    epochs, states = [], []
    count = INTERRUPTS or count

    with Alarm(seed=7) as alarm, dropped_in_finalizers(Interrupt):
        enqueuer = OrderedEnqueuer(sequence, max_queue_size=8, **EXECUTORS[executor])
        while alarm.raised < count:
            epochs.append(one_epoch(enqueuer, alarm, most_s))
            states.append(sequence.ended)
        enqueuer.stop()

    print(f"{executor}: {alarm.raised} interrupts in {len(epochs)} epochs")
    wrong = Counter(
        "lost, doubled or out of order"
        for epoch in epochs
        if [index for _, index in epoch] != list(range(60))
    )
    wrong += Counter("states mixed" for epoch in epochs if len({state for state, _ in epoch}) != 1)
    assert not wrong, epochs


@pytest.mark.chaos
@pytest.mark.limit(3600 if INTERRUPTS else 180)
@pytest.mark.parametrize(("executor", "count"), [("thread", 200), ("spawn", 40)])
def test_exceptions_thrown_into_the_consuming_thread_lose_no_batch(executor, count):
    length, count = 40_000, INTERRUPTS or count
    got: list[Any] = []
    caught: list[int] = []
    enqueuer = OrderedEnqueuer(Tiny(length), max_queue_size=16, **EXECUTORS[executor])
    enqueuer.start()
    iterator = iter(enqueuer)
    go_on = threading.Event()

    def consume() -> None:
        while True:
            try:
                for batch in iterator:
                    got.append(batch[1])
                    if go_on.is_set():
                        return
                return
            except Interrupt:
                caught.append(len(got))

    thread = threading.Thread(target=consume)
    thread.start()
    with dropped_in_finalizers(Interrupt):
        throw_into(thread, count, got, caught)
        go_on.set()
        thread.join()
    enqueuer.stop()

    print(f"{executor}: {len(caught)} exceptions within {len(got)} batches")
    assert [int(index) for index in got] == list(range(len(got)))
    assert len(caught) >= count * 0.9


def throw_into(thread: threading.Thread, count: int, got: list[Any], caught: list[int]) -> None:
    """One exception after the other, each when the thread is back in its loop."""
    chance, deadline = random.Random(5), time.monotonic() + 60.0
    for _ in range(count):
        seen = len(got)
        while len(got) <= seen + 1 and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(chance.uniform(1e-5, 1e-3))
        if not thread.is_alive() or len(got) > 30_000 or time.monotonic() > deadline:
            return
        before = len(caught)
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        raise_in(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupt))
        while len(caught) == before and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(1e-5)
