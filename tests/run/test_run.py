"""A run alone: its executor is a stand-in, and nobody asks for batches."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from run.stand_ins import Executor, options

from seqloader import ResumeError, Sequence
from seqloader.order import Cursor, Ranges
from seqloader.randomness.seeding import Seeding
from seqloader.run.resume.place import Place
from seqloader.run.run import Run
from seqloader.run.states import EpochState, SessionState


class Interrupt(BaseException):
    """What a signal handler raises."""


class Hooked(Sequence[int]):
    """Three batches, and a list of its hooks."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.raising: BaseException | None = None

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int, /) -> int:
        return index

    def on_epoch_begin(self) -> None:
        self.hooks.append("begin")
        if self.raising is not None:
            raise self.raising

    def on_epoch_end(self) -> None:
        self.hooks.append("end")


@pytest.fixture
def executor() -> Executor:
    return Executor()


@pytest.fixture
def run(executor: Executor) -> Run:
    run = Run(Hooked(), False, options(executor))
    run.session.start()
    return run


def begun(run: Run, *, asked: bool = True) -> Any:
    epoch = run.session.call(run.begin_epoch)
    if asked:
        epoch.becomes("ask")
    return epoch


def test_an_epoch_begins_with_its_hook_its_length_the_state_and_tickets(run, executor):
    epoch = begun(run)

    assert run.sequence.hooks == ["begin"]
    assert executor.calls == ["start", "load", "submit", "submit", "submit"]
    assert run.place.plan is epoch.plan
    assert (run.number, epoch.plan.count) == (0, 3)


def test_an_epoch_that_was_asked_for_ends_with_its_hook_and_the_next_has_its_number(run, executor):
    epoch = begun(run)
    run.session.call(run.end_epoch)

    assert run.sequence.hooks == ["begin", "end"]
    assert executor.calls[-1] == "discard"
    assert epoch.state is EpochState.CUT
    assert run.place == Place(Cursor(1), Seeding(0, True))


def test_an_epoch_that_nobody_asked_for_is_as_if_it_had_not_begun(run):
    epoch = begun(run, asked=False)
    run.session.call(run.end_epoch)

    assert run.sequence.hooks == ["begin"]
    assert epoch.state is EpochState.VOID
    assert run.number == 0


def test_a_hook_that_raises_leaves_the_run_before_its_epoch(run):
    run.sequence.raising = ValueError("no")

    with pytest.raises(ValueError, match="no"):
        begun(run)

    assert run.session.state is SessionState.IDLE
    assert run.epoch is None
    assert run.place == Place(Cursor(), Seeding(0, True))


def test_an_interrupt_of_an_epochs_end_stops_everything_and_the_epoch_has_ended(run, executor):
    epoch = begun(run)
    executor.raising["discard"] = Interrupt()

    with pytest.raises(Interrupt):
        run.session.call(run.end_epoch)

    assert run.session.state is SessionState.IDLE
    assert executor.calls[-2:] == ["discard", "stop"]
    assert run.sequence.hooks == ["begin"]
    assert epoch.state is EpochState.FAILED
    assert run.place == Place(Cursor(1), Seeding(0, True))


def test_stopping_ends_the_epoch_of_the_thread_that_asked_for_its_batches(run):

    begun(run)
    run.consumer = threading.get_ident()
    run.session.stop(None)

    assert run.sequence.hooks == ["begin", "end"]
    assert run.place == Place(Cursor(1), Seeding(0, True))


def test_stopping_by_another_thread_runs_no_hook(run):
    begun(run)
    run.session.stop(None)

    assert run.sequence.hooks == ["begin"]
    assert run.place == Place(Cursor(1), Seeding(0, True))


def test_a_jump_cuts_the_epoch_without_a_hook(run):
    epoch = begun(run)
    there = Place(Cursor(5, 2), Seeding(0, True))

    run.session.call(lambda: run.bring(there))

    assert run.place is there
    assert run.epoch is None
    assert run.sequence.hooks == ["begin"]
    assert epoch.state is EpochState.CUT


def test_a_jump_to_another_seed_starts_the_workers_anew(run, executor):
    run.session.call(lambda: run.bring(Place(Cursor(), Seeding(7, True))))

    assert executor.calls == ["start", "stop", "start"]
    assert run.session.started_with == Seeding(7, True)
    assert run.session.is_running


def test_what_follows_from_a_jump_is_done_by_whoever_enters_next(run):
    begun(run)
    there = Place(Cursor(5, 2), Seeding(0, True))
    done: list[str] = []

    def then() -> None:
        done.append("then")
        if len(done) == 1:
            raise Interrupt

    with pytest.raises(Interrupt):
        run.session.call(lambda: run.bring(there, then))
    assert run.place is there
    run.session.call(lambda: None)

    assert done == ["then", "then"]
    assert run.epoch is None
    assert run.session.state is SessionState.RUNNING


def test_a_judgement_that_fails_lets_the_epoch_go_on(run, executor):
    epoch = begun(run)
    before = len(executor.calls)

    def judge() -> None:
        assert executor.calls[-1] == "discard"
        raise ResumeError("no")

    with pytest.raises(ResumeError):
        run.session.call(lambda: run.quietly(judge))

    assert run.epoch is epoch
    assert executor.calls[before:] == ["discard", "submit", "submit", "submit"]
    assert run.session.state is SessionState.RUNNING


def test_what_is_skipped_is_not_asked_of_the_executor_again(run, executor):

    begun(run)
    place = run.place.skipping(0, Ranges.of([0, 1]))
    run.session.call(lambda: run.skip(place))
    with pytest.raises(Interrupt):
        run.session.call(_torn(run))
    before = len(executor.calls)
    run.session.call(lambda: None)

    assert executor.calls[before:] == ["reset", "submit"]


def _torn(run: Run) -> Any:
    def act() -> None:
        run.session.step()
        raise Interrupt

    return act


def test_a_broken_sequence_computes_nothing(run):
    run.broken = run.sequence

    with pytest.raises(ResumeError, match="somewhere between two epochs"):
        begun(run)
