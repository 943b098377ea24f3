"""Which slots want a worker, and what must hold of a crew: no process is started here."""

from __future__ import annotations

import select
from types import SimpleNamespace

import pytest

from seqloader.executors.process.consumer.arena import Arenas
from seqloader.executors.process.consumer.crew import Crew


def crew_of(size, slots):
    """A crew of stand-ins, in these slots."""
    arenas = Arenas(keep_batches=1)
    crew = Crew(size, arenas, select.poll(), stacks=False)
    for number, slot in enumerate(slots, 1):
        crew.workers[number] = SimpleNamespace(number=number, slot=slot, watch=10 + number)
        arenas.views[number] = SimpleNamespace(number=number, orphaned=False)
    crew._numbers = len(slots)
    return crew


@pytest.mark.parametrize(
    ("size", "slots", "vacant"),
    [(3, [], [0, 1, 2]), (3, [1], [0, 2]), (3, [2, 0, 1], []), (1, [0], [])],
)
def test_the_slots_without_a_worker_are_vacant(size, slots, vacant):
    assert crew_of(size, slots).vacancies() == vacant


def test_a_larger_crew_has_more_vacancies():
    crew = crew_of(2, [0, 1])

    crew.size = 4

    assert crew.vacancies() == [2, 3]


def test_a_crew_that_was_killed_is_not_filled():
    crew = crew_of(2, [])
    crew.killed = True

    crew.fill(birth=None, state=None)

    assert crew.workers == {}


def test_the_ended_are_those_whose_descriptor_was_seen():
    crew = crew_of(3, [0, 1, 2])

    assert crew.ended({12, 99}) == [crew.workers[2]]


@pytest.mark.parametrize(
    ("size", "slots", "message"),
    [(2, [0, 0], "two workers in one slot"), (2, [0], "vacant"), (1, [1], r"\[1\]")],
)
def test_a_crew_that_is_not_what_it_should_be_says_so(size, slots, message):
    with pytest.raises(AssertionError, match=message):
        crew_of(size, slots).check()
