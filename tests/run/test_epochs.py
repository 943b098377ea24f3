"""Epochs alone: the executor and the session's guest are stand-ins, and nobody asks for batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from run.stand_ins import Executor, Guest, Hooked, Interrupt, options

from seqloader import EnqueuerStopped, ResumeError
from seqloader.order import Cursor, Ranges
from seqloader.randomness.seeding import Seeding
from seqloader.run.epochs import Epochs
from seqloader.run.resume.place import Place
from seqloader.run.session import Session
from seqloader.run.states import EpochState, SessionState
from seqloader.run.subject import Subject


@pytest.fixture
def executor() -> Executor:
    return Executor()


class Parts:
    """Epochs, and what they have."""

    def __init__(self, executor: Executor) -> None:
        self.guest = Guest()
        self.subject = Subject(Hooked(), False, options(executor))
        self.session = Session(self.guest, self.subject.options)
        self.epochs = Epochs(self.subject, self.session)
        self.guest.during |= {"spoil": self.epochs.spoil, "forget": self.epochs.forget}
        self.session.start()

    def begun(self, *, asked: bool = True) -> Any:
        epoch = self.session.call(self.epochs.begin)
        if asked:
            epoch.becomes("ask")
        return epoch

    def call(self, act: Callable[[], object]) -> None:
        self.session.call(act)
        self.epochs.check()


@pytest.fixture
def parts(executor: Executor) -> Parts:
    return Parts(executor)


def test_an_epoch_begins_with_its_hook_its_length_the_state_and_tickets(parts, executor):
    epoch = parts.begun()

    assert parts.subject.sequence.hooks == ["begin"]
    assert executor.calls == ["start", "load", "submit", "submit", "submit"]
    assert parts.subject.place.plan is epoch.plan
    assert (parts.subject.number, epoch.plan.count) == (0, 3)


def test_an_epoch_that_was_asked_for_ends_with_its_hook_and_the_next_is_numbered(parts, executor):
    epoch = parts.begun()
    parts.call(parts.epochs.end_under_way)

    assert parts.subject.sequence.hooks == ["begin", "end"]
    assert executor.calls[-1] == "discard"
    assert epoch.state is EpochState.CUT
    assert parts.subject.place == Place(Cursor(1), Seeding(0, True))


def test_an_epoch_that_nobody_asked_for_is_as_if_it_had_not_begun(parts):
    epoch = parts.begun(asked=False)
    parts.call(parts.epochs.end_under_way)

    assert parts.subject.sequence.hooks == ["begin"]
    assert epoch.state is EpochState.VOID
    assert parts.subject.number == 0


def test_a_hook_that_raises_leaves_the_run_before_its_epoch(parts):
    parts.subject.sequence.raising = ValueError("no")

    with pytest.raises(ValueError, match="no"):
        parts.begun()

    assert parts.session.state is SessionState.IDLE
    assert parts.epochs.epoch is None
    assert parts.subject.place == Place(Cursor(), Seeding(0, True))


def test_an_interrupt_of_an_epochs_end_stops_everything_and_the_epoch_has_ended(parts, executor):
    epoch = parts.begun()
    executor.raising["discard"] = Interrupt()

    with pytest.raises(Interrupt):
        parts.call(parts.epochs.end_under_way)

    assert parts.session.state is SessionState.IDLE
    assert executor.calls[-2:] == ["discard", "stop"]
    assert parts.subject.sequence.hooks == ["begin"]
    assert epoch.state is EpochState.FAILED
    assert parts.subject.place == Place(Cursor(1), Seeding(0, True))


def test_a_stop_by_the_thread_that_asked_for_batches_ends_the_epoch_with_its_hook(parts):
    parts.begun()
    parts.epochs.consumer = threading.get_ident()
    end = parts.epochs.ending()
    parts.epochs.forget()

    assert parts.subject.place.coming == Cursor(1)  # it stands in the epoch until the hook has run
    end()
    assert parts.subject.sequence.hooks == ["begin", "end"]
    assert parts.subject.place == Place(Cursor(1), Seeding(0, True))


def test_a_stop_by_another_thread_runs_no_hook(parts):
    parts.begun()

    assert parts.epochs.ending() is None
    parts.epochs.forget()
    assert parts.subject.place == Place(Cursor(1), Seeding(0, True))


def test_an_epoch_that_a_stop_cuts_short_while_it_ends_says_so_with_an_error_of_its_own(
    parts, executor
):
    parts.begun()
    executor.during["discard"] = lambda: setattr(parts.session, "stopping", True)

    with pytest.raises(EnqueuerStopped, match="before epoch 0 was delivered completely") as caught:
        parts.call(parts.epochs.end_under_way)

    assert parts.subject.sequence.hooks == ["begin"]
    assert parts.epochs.own_stop.is_ours(caught.value)


def test_an_epoch_is_ended_where_its_last_batch_was_delivered_and_not_before(parts):
    epoch = parts.begun()
    parts.call(parts.epochs.end_if_delivered)
    assert parts.epochs.epoch is epoch

    deliver(epoch, 3)
    parts.call(parts.epochs.end_if_delivered)

    assert epoch.state is EpochState.COMPLETE
    assert parts.subject.sequence.hooks == ["begin", "end"]


def deliver(epoch: Any, count: int) -> None:
    for position in range(count):
        epoch.window.arrive(position, SimpleNamespace(nbytes=0), 0)
        epoch.window.hand_over()
        epoch.handovers.skip(position)


def test_an_epoch_that_the_run_was_only_brought_into_is_ended_with_both_hooks_and_no_batch(
    parts, executor
):
    parts.subject.store.put(Place(Cursor(4, 2), Seeding(0, True)))
    parts.call(parts.epochs.end_where_we_stand)

    assert parts.subject.sequence.hooks == ["begin", "end"]
    assert "submit" not in executor.calls
    assert parts.subject.place == Place(Cursor(5), Seeding(0, True))


def test_where_nothing_of_an_epoch_was_delivered_there_is_none_to_end(parts):
    parts.call(parts.epochs.end_where_we_stand)

    assert parts.subject.sequence.hooks == []
    assert parts.subject.place == Place(Cursor(), Seeding(0, True))


def test_after_a_reset_what_was_not_delivered_and_is_not_skipped_is_issued_again(parts, executor):
    parts.begun()
    parts.subject.store.put(parts.subject.place.skipping(0, Ranges.of([0, 1])))
    before = len(executor.calls)
    parts.epochs.resume()

    assert executor.calls[before:] == ["submit"]


def test_a_broken_sequence_computes_nothing(parts):
    parts.subject.broken = parts.subject.sequence

    with pytest.raises(ResumeError, match="somewhere between two epochs"):
        parts.begun()
