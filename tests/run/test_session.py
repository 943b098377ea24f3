"""A session alone: its executor and its guest are stand-ins."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from run.stand_ins import Executor, Guest, options

from seqloader import EnqueuerStopped
from seqloader.run.session import Session
from seqloader.run.states import SessionState


class Interrupt(BaseException):
    """What a signal handler raises."""


@pytest.fixture
def executor() -> Executor:
    return Executor()


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def session(executor: Executor, guest: Guest) -> Any:
    session = Session(guest, options(executor))
    yield session
    session.check()


def raising(error: BaseException) -> Any:
    def act() -> None:
        raise error

    return act


def torn_by(session: Session, error: BaseException) -> None:
    """A call whose step is left by this exception."""

    def act() -> None:
        session.step()
        raise error

    with pytest.raises(type(error)):
        session.call(act)


def test_a_start_prepares_and_a_stop_ends_what_is_under_way(session, executor, guest):
    session.start()
    assert session.is_running
    session.stop(None)

    assert not session.is_running
    assert session.state is SessionState.IDLE
    assert executor.calls == ["start", "wake", "stop"]
    assert guest.calls == ["prepare", "ending", "forget", "end"]


def test_what_the_guest_refuses_is_not_started(session, executor, guest):
    guest.during["prepare"] = raising(ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        session.start()

    assert executor.calls == []
    assert session.state is SessionState.IDLE


def test_a_start_that_fails_is_closed_again(session, executor, guest):
    executor.raising["start"] = ValueError("no")

    with pytest.raises(ValueError, match="no"):
        session.start()

    assert executor.calls == ["start", "stop"]
    assert guest.calls == ["prepare", "spoil", "forget"]
    assert session.state is SessionState.IDLE


def test_a_step_torn_by_an_interrupt_is_mended_by_whoever_enters_next(session, executor, guest):
    session.start()
    torn_by(session, Interrupt())
    assert session.state is SessionState.STEPPING

    session.call(lambda: None)

    assert session.state is SessionState.RUNNING
    assert executor.calls == ["start", "reset"]
    assert guest.calls[1:] == ["complete", "resume", "resized"]


def test_a_step_torn_by_an_error_stops_everything(session, executor, guest):
    session.start()
    torn_by(session, ValueError("no"))

    assert session.state is SessionState.IDLE
    assert executor.calls == ["start", "stop"]
    assert guest.calls[1:] == ["spoil", "forget"]


def test_an_executor_that_cannot_be_reset_is_closed(session, executor):
    session.start()
    torn_by(session, Interrupt())
    executor.raising["reset"] = ValueError("no")

    with pytest.raises(ValueError, match="no"):
        session.call(lambda: None)

    assert executor.calls == ["start", "reset", "stop"]
    assert session.state is SessionState.IDLE


def test_a_closing_that_was_interrupted_is_done_again(session, executor, guest):
    session.start()
    executor.raising["stop"] = Interrupt()
    with pytest.raises(Interrupt):
        session.stop(None)
    assert session.state is SessionState.CLOSING

    session.call(lambda: None)

    assert executor.calls == ["start", "wake", "stop", "stop"]
    assert session.state is SessionState.IDLE


def test_a_jump_without_an_executor_is_completed_by_whoever_enters_next(session, guest):
    torn_by(session, Interrupt())
    assert session.state is SessionState.PLACING

    session.call(lambda: None)

    assert guest.calls == ["complete"]
    assert session.state is SessionState.IDLE


def test_a_restart_inside_a_step_leaves_it_running(session, executor):
    session.start()

    def act() -> None:
        session.step()
        session.restart()
        session.done()

    session.call(act)

    assert session.state is SessionState.RUNNING
    assert session.starts == 1
    assert executor.calls == ["start", "stop", "start"]


def test_a_stop_from_inside_kills_and_whoever_was_interrupted_cleans_up(session, executor, guest):
    session.start()

    def act() -> None:
        session.stop(None)
        assert executor.calls[1:] == ["wake", "kill"]
        assert session.executor is executor
        session.give_way()

    session.call(act)

    assert executor.calls[1:] == ["wake", "kill", "stop"]
    assert guest.calls[1:] == ["forget"]  # and no hook


def test_a_stop_in_another_thread_wakes_the_consumer_and_cleans_up_itself(session, executor):
    session.start()
    woken = threading.Event()
    executor.during["wake"] = woken.set

    def act() -> None:
        stopper.start()
        assert woken.wait(30)
        session.give_way()  # leaves it to the stopper
        assert session.executor is executor

    stopper = threading.Thread(target=session.stop, args=(None,))
    session.call(act)
    stopper.join(30)

    assert executor.calls == ["start", "wake", "stop"]
    assert session.state is SessionState.IDLE


def test_a_stop_during_the_start_wins(session, executor):
    executor.during["start"] = lambda: session.stop(None)  # as a signal handler

    with pytest.raises(EnqueuerStopped):
        session.call(session.be_running)

    assert executor.calls == ["start", "wake", "kill", "stop"]
    assert session.state is SessionState.IDLE


def test_a_call_inside_a_call_is_refused(session):
    with pytest.raises(RuntimeError, match="entered again"):
        session.call(lambda: session.call(lambda: None))


def test_two_sessions_cannot_have_one_executor(session, executor):
    session.start()
    other_guest = Guest()
    other = Session(other_guest, options(executor))

    with pytest.raises(RuntimeError, match="in use by another enqueuer"):
        other.start()
    session.stop(None)
    other.start()
    other.stop(None)


def test_whoever_drops_the_guest_drops_the_executor_at_once(executor):
    class Owner(Guest):
        def __init__(self) -> None:
            super().__init__()
            self.session = Session(self, options(executor))

    owner = Owner()
    owner.session.start()
    gc.disable()
    try:
        del owner
        assert executor.calls == ["start", "abandon"]
    finally:
        gc.enable()


def test_a_stop_from_a_finalizer_of_garbage_abandons_the_executor(executor):
    class Owner(Guest):
        def __init__(self) -> None:
            super().__init__()
            self.session = Session(self, options(executor))

    def stream(owner):
        try:
            yield
        finally:
            owner.session.stop_after_error()

    owner = Owner()
    owner.session.start()
    owner.stream = stream(owner)  # a cycle
    next(owner.stream)
    del owner
    gc.collect()

    assert executor.calls[:2] == ["start", "abandon"]
    assert "stop" not in executor.calls
