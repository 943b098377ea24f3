"""`stop()` in one thread, while the consumer's executor fails and another is started."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from ends import Raises

from seqloader import EnqueuerStopped, OrderedEnqueuer
from seqloader.executors.inline import InlineExecutor
from seqloader.run.options import Options


class Failing(InlineExecutor):
    """Fails when it is waited for."""

    def wait(self, timeout_s: float | None) -> None:
        raise OSError("the executor's")


class Waiting(InlineExecutor):
    """Answers nothing: a wait lasts until it is woken or killed."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.called = threading.Event()

    def wait(self, timeout_s: float | None) -> None:
        self.waits.set()
        assert self.called.wait(20.0), "nobody wakes the executor that runs"

    def wake(self) -> None:
        self.called.set()


def pausing_at(function: str, reached: threading.Event, go_on: threading.Event) -> Any:
    """A trace function that stops where `_stop` is about to call `function`, or has called it."""

    def trace(frame: Any, event: str, arg: Any) -> Any:
        if event == "call" and frame.f_code.co_name == function and not reached.is_set():
            reached.set()
            assert go_on.wait(20.0)
        return trace if frame.f_code.co_name in ("stop", "_stop") else None

    return trace


@pytest.mark.parametrize("place", ["stop", "_stop", "_owns_lock", "wake"])
def test_a_stop_ends_the_executor_that_was_started_since(monkeypatch, place):
    second = Waiting()
    executors = iter([Failing(), second])
    monkeypatch.setattr(Options, "make_executor", lambda *_: next(executors))
    enqueuer = OrderedEnqueuer(Raises("", KeyError), executor=InlineExecutor())
    iterator = iter(enqueuer)
    reached, go_on = threading.Event(), threading.Event()
    restarted = threading.Event()
    told: list[BaseException] = []

    def stop() -> None:
        sys.settrace(pausing_at(place, reached, go_on))
        enqueuer.stop(10.0)
        sys.settrace(None)

    def consume() -> None:
        try:
            again = iter(enqueuer)
            restarted.set()
            next(again)
        except EnqueuerStopped as error:
            told.append(error)
        finally:
            restarted.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert reached.wait(20.0)  # `stop()` has begun, and stands still
    with pytest.raises((OSError, EnqueuerStopped)):
        next(iterator)
    consumer = threading.Thread(target=consume)
    consumer.start()
    assert restarted.wait(20.0)
    if not told:
        assert second.waits.wait(20.0)
    go_on.set()
    stopper.join(5.0)
    consumer.join(5.0)

    assert not stopper.is_alive() and not consumer.is_alive()
    assert [type(error) for error in told] == [EnqueuerStopped]
    assert not enqueuer.is_running()
    second.wake()


def test_a_stop_that_comes_while_nothing_runs_does_not_stop_the_start_after_it():
    enqueuer = OrderedEnqueuer(Raises("", KeyError), workers=0)
    for _ in range(2):
        enqueuer.stop()
        assert [int(batch[0]) for batch in enqueuer] == [0, 1, 2, 3]
    enqueuer.stop()
