"""A run with its own parts: what they do together when the session asks."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from run.stand_ins import Executor, Hooked, Interrupt, options

from seqloader.order import Cursor, Ranges
from seqloader.randomness.seeding import Seeding
from seqloader.run.resume.place import Place
from seqloader.run.run import Run
from seqloader.run.states import EpochState, SessionState


@pytest.fixture
def executor() -> Executor:
    return Executor()


@pytest.fixture
def run(executor: Executor) -> Iterator[Run]:
    run = Run(Hooked(), False, options(executor))
    run.session.start()
    yield run
    run.session.stop(1.0)


def begun(run: Run) -> Any:
    epoch = run.session.call(run.epochs.begin)
    epoch.becomes("ask")
    return epoch


def test_stopping_ends_the_epoch_of_the_thread_that_asked_for_its_batches(run):
    begun(run)
    run.epochs.consumer = threading.get_ident()
    run.session.stop(None)

    assert run.sequence.hooks == ["begin", "end"]
    assert run.subject.place == Place(Cursor(1), Seeding(0, True))


def test_stopping_by_another_thread_runs_no_hook(run):
    begun(run)
    run.session.stop(None)

    assert run.sequence.hooks == ["begin"]
    assert run.subject.place == Place(Cursor(1), Seeding(0, True))


def test_a_jump_cuts_the_epoch_without_a_hook(run):
    epoch = begun(run)
    there = Place(Cursor(5, 2), Seeding(0, True))

    run.session.call(lambda: run.relocation.bring(there))

    assert run.subject.place is there
    assert run.epochs.epoch is None
    assert run.sequence.hooks == ["begin"]
    assert epoch.state is EpochState.CUT


def test_what_follows_from_a_jump_is_done_by_whoever_enters_next(run):
    begun(run)
    done: list[str] = []

    def then() -> None:
        done.append("then")
        if len(done) == 1:
            raise Interrupt

    with pytest.raises(Interrupt):
        run.session.call(lambda: run.relocation.bring(Place(Cursor(5, 2), Seeding(0, True)), then))
    run.session.call(lambda: None)

    assert done == ["then", "then"]
    assert run.epochs.epoch is None
    assert run.session.state is SessionState.RUNNING


def test_what_is_skipped_is_not_asked_of_the_executor_again(run, executor):
    begun(run)
    place = run.subject.place.skipping(0, Ranges.of([0, 1]))
    run.session.call(lambda: run.relocation.skip(place))
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


def test_whoever_drops_a_run_drops_its_parts_without_a_garbage_collection(executor):
    run = Run(Hooked(), False, options(executor))
    run.session.start()
    begun(run)
    parts = [weakref.ref(part) for part in (run, run.session, run.epochs, run.relocation)]
    gc.disable()
    try:
        del run
        assert [part() for part in parts] == [None] * 4
    finally:
        gc.enable()
    assert executor.calls[-1] == "abandon"
