"""Jumps alone: the run that is brought elsewhere is a stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from run.stand_ins import Executor, Guest, options

from seqloader import ResumeError, Sequence
from seqloader.order import Cursor, Ranges
from seqloader.randomness.seeding import Seeding
from seqloader.run.resume.jumps import Jumps
from seqloader.run.resume.place import Place
from seqloader.run.session import Session
from seqloader.run.subject import Subject


class Ten(Sequence[int]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int, /) -> int:
        return index


class Stateful(Ten):
    """Has a state of its own, and refuses negative ones."""

    def __init__(self) -> None:
        self.value = 0

    def state_dict(self) -> dict[str, int]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.value = state["value"]
        if self.value < 0:
            raise ResumeError("negative")


class Jumpable(Guest):
    """A run that writes down where it was brought."""

    epoch = None

    def __init__(self, sequence: Any) -> None:
        super().__init__()
        self.subject = Subject(sequence, False, options(Executor()))
        self.session = Session(self, self.subject.options)
        self.epochs = self.relocation = self

    def quietly(self, judge: Callable[[], Any], undo: Any = None) -> Any:
        try:
            return judge()
        except BaseException:
            if undo is not None:
                undo()
            raise

    def bring(self, place: Place, then: Any = None) -> None:
        self.subject.store.put(place)
        if then is not None:
            then()

    def skip(self, place: Place) -> None:
        self.subject.store.put(place)


def made(sequence: Any) -> tuple[Jumps, Jumpable]:
    run = Jumpable(sequence)
    return Jumps(run), run  # type: ignore[arg-type]


def test_what_is_saved_is_loaded_elsewhere():
    jumps, run = made(Stateful())
    run.subject.store.put(Place(Cursor(3, 4), Seeding(0, True)))
    run.subject.sequence.value, run.subject.counters.skipped = 8, 2
    there, other = made(Stateful())

    there.load_state_dict(jumps.state_dict(), strict=True)

    assert (other.subject.store.place.cursor, other.subject.sequence.value) == (Cursor(3, 4), 8)
    assert (other.subject.counters.skipped, other.subject.must_refresh) == (2, True)
    assert there.state_dict() == jumps.state_dict()


@pytest.mark.parametrize("change", [{"seed": 5}, {"sequence": {"value": -1}}])
def test_a_state_that_is_refused_leaves_everything_as_it_was(change):
    jumps, run = made(Stateful())
    run.subject.sequence.value = 6
    here = run.subject.store.place
    state = {**jumps.state_dict(), **change, "epoch": 2}

    with pytest.raises(ResumeError):
        jumps.load_state_dict(state, strict=True)

    assert run.subject.store.place is here
    assert run.subject.sequence.value == 6


def test_a_seek_stands_at_the_position_and_knows_how_many_there_are():
    jumps, run = made(Ten())
    jumps.seek(2, 7)
    assert run.subject.store.place == Place(Cursor(2, 7), Seeding(0, True))

    with pytest.raises(ResumeError, match="the epoch has 10"):
        jumps.seek(2, 11)
    assert run.subject.store.place == Place(Cursor(2, 7), Seeding(0, True))


def test_a_skip_adds_to_what_is_skipped_of_the_coming_epoch():
    jumps, run = made(Ten())
    jumps.skip([3, 4], None)
    jumps.skip([5], None)
    assert run.subject.store.place.cursor.skipped[0] == Ranges.of([3, 4, 5])

    with pytest.raises(ValueError, match="has no position 10"):
        jumps.skip([10], None)
    jumps.seek(1, 0)
    with pytest.raises(ValueError, match="epoch 0 is over"):
        jumps.skip([7], 0)
