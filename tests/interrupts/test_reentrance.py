"""Calls from signal handlers and hooks into an enqueuer that is in the middle of a call."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest

from seqloader import (
    EnqueuerStopped,
    OrderedEnqueuer,
    Sequence,
    SlowBatchWarning,
    WorkerLostWarning,
)
from seqloader.run.epochs import Epochs
from seqloader.testing import Gate, within


class Gated(Sequence[Any]):
    """Batch `held` waits at the gate."""

    def __init__(self, length: int, held: int, gate: Gate) -> None:
        self.length = length
        self.held = held
        self.gate = gate
        self.ends = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        if index == self.held:
            self.gate.pass_through(index)
        return np.full(3, index)

    def on_epoch_end(self) -> None:
        self.ends += 1


def waits_in_next() -> bool:
    """Whether the main thread waits for a batch."""
    frame: Any = sys._current_frames()[threading.main_thread().ident or 0]
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "__next__" in names and ("wait" in names[:3])


@contextmanager
def on_alarm(handle: Callable[[], None]) -> Iterator[None]:
    """Call `handle` in a signal handler of the main thread, once that waits in a `next()`."""
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGALRM, lambda signum, frame: handle())

    def wait_and_send() -> None:
        while not waits_in_next():
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGALRM)

    sender = threading.Thread(target=wait_and_send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGALRM, before)


EXECUTORS: dict[str, dict[str, Any]] = {
    "thread": {"workers": 2, "use_multiprocessing": False},
    "process": {"workers": 2},
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    "call", ["next", "iter", "get", "peek", "start", "join_end_of_epoch", "end_epoch"]
)
def test_call_from_a_signal_handler_during_next_is_refused(executor, call, tmp_path):
    gate, refusals = Gate(tmp_path), []
    enqueuer = OrderedEnqueuer(Gated(4, 1, gate), **EXECUTORS[executor])
    iterator = iter(enqueuer)

    def enter_again() -> None:
        calls = {"next": iterator.__next__, "iter": enqueuer.__iter__}
        try:
            (calls.get(call) or getattr(enqueuer, call))()
        except RuntimeError as error:
            refusals.append(str(error))
        gate.open()

    with on_alarm(enter_again):
        batches = [int(batch[0]) for batch in iterator]
    enqueuer.stop()

    assert len(refusals) == 1
    assert "entered again" in refusals[0]
    assert batches == [0, 1, 2, 3]


def test_stats_may_be_read_from_a_signal_handler_during_next(tmp_path):
    gate, snapshots = Gate(tmp_path), []

    def look() -> None:
        snapshots.append(enqueuer.stats())
        gate.open()

    with OrderedEnqueuer(Gated(4, 1, gate), workers=2) as enqueuer, on_alarm(look):
        batches = [int(batch[0]) for batch in enqueuer]

    assert snapshots[0].delivered <= 1
    assert batches == [0, 1, 2, 3]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_stop_from_a_signal_handler_during_next_ends_the_epoch_at_once(executor, tmp_path):
    gate = Gate(tmp_path)
    sequence = Gated(4, 1, gate)
    enqueuer = OrderedEnqueuer(sequence, **EXECUTORS[executor])
    iterator = iter(enqueuer)
    first = int(next(iterator)[0])

    def stop() -> None:
        enqueuer.stop()
        gate.open()  # threads cannot be killed

    with on_alarm(stop), pytest.raises(EnqueuerStopped):
        next(iterator)

    assert first == 0
    assert not enqueuer.is_running()
    assert not psutil.Process().children()
    assert sequence.ends == 0  # not from a signal handler
    with pytest.raises(EnqueuerStopped):
        next(iterator)
    again = [int(batch[0]) for batch in enqueuer]
    enqueuer.stop()
    assert again == [0, 1, 2, 3]


def test_stop_from_a_hook_ends_the_enqueuer_after_it():
    enqueuer: Any = None

    class StopsItself(Sequence[Any]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int, /) -> Any:
            return np.full(3, index)

        def on_epoch_end(self) -> None:
            enqueuer.stop()

    enqueuer = OrderedEnqueuer(StopsItself(), workers=2, start_method="fork")

    batches = [int(batch[0]) for batch in enqueuer]

    assert batches == [0, 1, 2]
    assert not enqueuer.is_running()
    assert not psutil.Process().children()


@pytest.mark.parametrize("call", [iter, next, len, lambda it: it.peek()])
def test_call_from_inside_getitem_in_the_consumer_is_refused(call):
    class Recursive(Sequence[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int, /) -> Any:
            return call(iterator if call is next else enqueuer)

    enqueuer = OrderedEnqueuer(Recursive(), workers=0)
    iterator = iter(enqueuer)

    if call is len:  # reads the Sequence, not the enqueuer's state
        assert list(iterator) == [2, 2]
    else:
        with pytest.raises(RuntimeError, match="entered again"):
            next(iterator)
    enqueuer.stop()


def test_stop_during_next_in_another_thread_leaves_a_usable_lock(tmp_path):
    gate = Gate(tmp_path)
    enqueuer = OrderedEnqueuer(Gated(4, 0, gate), workers=2)
    iterator = iter(enqueuer)
    errors: list[BaseException] = []

    def consume() -> None:
        try:
            next(iterator)
        except EnqueuerStopped as error:
            errors.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    gate.wait_arrived(1)
    within(10.0, enqueuer.stop, 0.5)
    consumer.join(10.0)
    gate.open()

    assert len(errors) == 1
    assert [int(batch[0]) for batch in enqueuer] == [0, 1, 2, 3]
    enqueuer.stop()


def test_warning_made_an_error_loses_no_batch(tmp_path):
    gate = Gate(tmp_path)
    errors = []

    with OrderedEnqueuer(Gated(40, 1, gate), workers=2, max_queue_size=4) as enqueuer:
        iterator, batches = iter(enqueuer), []
        with warnings.catch_warnings():
            warnings.simplefilter("error", WorkerLostWarning)
            while len(batches) < 40:
                try:
                    for batch in iterator:
                        batches.append(int(batch[0]))
                        if len(batches) == 1:
                            gate.wait_arrived(1)
                            gate.open()
                        if len(batches) in (1, 15, 30):
                            kill_a_worker()
                except WorkerLostWarning as error:
                    errors.append(error)

    assert batches == list(range(40))
    assert len(errors) == 3
    assert enqueuer.stats().respawns == 3


def kill_a_worker() -> None:
    victim = psutil.Process().children()[0]
    os.kill(victim.pid, signal.SIGKILL)
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)  # not reaped: that is the engine's


def test_slow_batch_warning_made_an_error_loses_no_batch(tmp_path, monkeypatch):
    gate = Gate(tmp_path)
    with OrderedEnqueuer(Gated(4, 1, gate), workers=2) as enqueuer:
        iterator = iter(enqueuer)
        batches = [int(next(iterator)[0])]
        monkeypatch.setattr(Epochs, "patience_s", 0.05)
        with warnings.catch_warnings():
            warnings.simplefilter("error", SlowBatchWarning)
            with pytest.raises(SlowBatchWarning, match="batch 1"):
                next(iterator)
        gate.open()
        batches += [int(batch[0]) for batch in iterator]

    assert batches == [0, 1, 2, 3]
