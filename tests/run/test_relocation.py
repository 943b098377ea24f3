"""Relocations alone: the epochs, the executor and the session's guest are stand-ins."""

from __future__ import annotations

from typing import Any

import pytest
from run.stand_ins import Executor, Guest, Interrupt, options

from seqloader import ResumeError
from seqloader.order import Cursor, Ranges
from seqloader.randomness.seeding import Seeding
from seqloader.run.relocation import Relocation
from seqloader.run.resume.place import Place
from seqloader.run.session import Session
from seqloader.run.states import SessionState
from seqloader.run.subject import Subject

THERE = Place(Cursor(5, 2), Seeding(0, True))


class Epoch:
    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    def fill(self) -> None:
        self.calls.append("fill")

    def skip(self, positions: Ranges) -> None:
        self.calls.append(("skip", positions))


class Epochs:
    """One is under way, and what is asked of them is written down."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.epoch: Any = Epoch(self.calls)
        self.stream: object = None
        self.empty_epochs = 1
        self.is_ahead = False

    @property
    def are_computing(self) -> bool:
        return self.epoch is not None or self.is_ahead

    def stop_computing(self, epoch: Epoch | None) -> None:
        self.calls.append("stop computing")

    def take_away(self, epoch: Epoch) -> None:
        self.calls.append("take away")
        self.epoch = None


class Parts:
    """A relocation, and what it has."""

    def __init__(self) -> None:
        self.executor = Executor()
        self.guest = Guest()
        self.subject = Subject("the Sequence", False, options(self.executor))
        self.session = Session(self.guest, self.subject.options)
        self.epochs = Epochs()
        self.relocation = Relocation(self.subject, self.session, self.epochs)
        self.session.start()

    def bring(self, place: Place, then: Any = None) -> None:
        self.session.call(lambda: self.relocation.bring(place, then))


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_a_jump_takes_the_epoch_away(parts):
    parts.bring(THERE)

    assert parts.subject.place is THERE
    assert parts.epochs.calls == ["take away"]
    assert parts.epochs.empty_epochs == 0
    assert parts.session.state is SessionState.RUNNING


def test_a_jump_to_another_seed_starts_the_workers_anew_and_keeps_the_stream(parts):
    stream = parts.epochs.stream = object()
    parts.guest.seeding = Seeding(7, True)
    parts.guest.during["forget"] = lambda: setattr(parts.epochs, "stream", None)
    parts.session.started_with = Seeding(0, True)

    parts.bring(Place(Cursor(), Seeding(7, True)))

    assert parts.executor.calls == ["start", "stop", "start"]
    assert parts.session.started_with == Seeding(7, True)
    assert parts.epochs.stream is stream


def test_what_follows_from_a_jump_is_done_by_whoever_completes_it(parts):
    done: list[str] = []

    def then() -> None:
        done.append("then")
        if len(done) == 1:
            raise Interrupt

    with pytest.raises(Interrupt):
        parts.bring(THERE, then)
    assert parts.subject.place is THERE
    assert parts.epochs.calls == []
    parts.relocation.complete()
    parts.relocation.complete()

    assert done == ["then", "then"]
    assert parts.epochs.calls == ["take away"]


def test_a_jump_that_was_interrupted_before_its_store_leaves_nothing_to_complete(
    parts, monkeypatch
):
    def interrupted(place: Place) -> None:
        raise Interrupt

    here = parts.subject.place
    monkeypatch.setattr(parts.subject.store, "put", interrupted)
    with pytest.raises(Interrupt):
        parts.bring(THERE)
    parts.relocation.complete()

    assert parts.subject.place is here
    assert parts.epochs.calls == []


def test_a_judgement_that_fails_lets_the_epoch_go_on(parts):
    def judge() -> None:
        parts.epochs.calls.append("judge")
        raise ResumeError("no")

    def quietly() -> None:
        parts.relocation.quietly(judge, lambda: parts.epochs.calls.append("undo"))

    with pytest.raises(ResumeError):
        parts.session.call(quietly)

    assert parts.epochs.calls == ["stop computing", "judge", "undo", "fill"]
    assert parts.session.state is SessionState.RUNNING


def test_without_an_epoch_a_judgement_stops_nothing(parts):
    parts.epochs.epoch = None

    assert parts.relocation.quietly(lambda: "judged") == "judged"
    assert parts.epochs.calls == []


def test_what_is_computed_of_a_coming_epoch_is_thrown_away_before_a_judgement(parts):
    parts.epochs.epoch, parts.epochs.is_ahead = None, True

    parts.session.call(lambda: parts.relocation.quietly(lambda: parts.epochs.calls.append("judge")))
    parts.bring(THERE)

    assert parts.epochs.calls == ["stop computing", "judge"]
    assert parts.session.state is SessionState.RUNNING


def test_what_is_skipped_is_told_to_the_epoch_under_way(parts):
    place = parts.subject.place.skipping(0, Ranges.of([0, 1]))
    parts.session.call(lambda: parts.relocation.skip(place))

    assert parts.subject.place is place
    assert parts.epochs.calls == [("skip", Ranges.of([0, 1]))]
