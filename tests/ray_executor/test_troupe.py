"""Which actors there are to be, and when it is given up."""

from __future__ import annotations

import pytest

from seqloader.executors.ray.troupe import (
    FAILED_STARTS,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MEMORY_KILLS_S,
    Stage,
    Troupe,
)


@pytest.fixture
def troupe():
    troupe = Troupe(3, start_timeout_s=60.0, now=0.0)
    yield troupe
    troupe.check()


def filled(troupe, now=0.0, ready=True):
    numbers = [troupe.begin(slot, now) for slot in troupe.vacant(now)]
    for number in numbers if ready else ():
        troupe.becomes_ready(number)
    return numbers


def test_all_slots_are_vacant_at_first_and_none_once_they_were_asked_for(troupe):
    assert troupe.vacant(0.0) == [0, 1, 2]
    filled(troupe, ready=False)
    assert troupe.vacant(0.0) == []
    assert troupe.ready() == []


def test_an_actor_that_ended_leaves_its_slot_to_another_at_once(troupe):
    first, second, third = filled(troupe)

    member = troupe.gone(second, 5.0)

    assert (member.slot, member.stage) == (1, Stage.READY)
    assert troupe.ready() == [first, third]
    assert troupe.vacant(5.0) == [1]
    assert troupe.pause_s(5.0) == 0.0


def test_with_nobody_ready_it_is_stuck_after_the_timeout_and_not_before(troupe):
    filled(troupe, ready=False)

    assert not troupe.is_stuck(60.0)
    assert troupe.is_stuck(60.1)
    troupe.becomes_ready(1)
    assert not troupe.is_stuck(1000.0)


def test_the_timeout_begins_anew_when_the_last_one_ends(troupe):
    for number in filled(troupe):
        troupe.gone(number, 500.0)
    filled(troupe, 500.0, ready=False)

    assert not troupe.is_stuck(560.0)
    assert troupe.is_stuck(560.1)


def test_several_that_end_before_they_are_ready_are_given_up_if_nobody_is(troupe):
    for start in range(FAILED_STARTS):
        assert not troupe.gives_up()
        now = 10.0 * start
        number = troupe.begin(troupe.vacant(now)[0], now)
        troupe.gone(number, now)

    assert troupe.gives_up()


def test_they_are_not_given_up_while_another_works(troupe):
    first, *others = filled(troupe, ready=False)
    troupe.becomes_ready(first)
    for number in others:
        troupe.gone(number, 1.0)
    third = troupe.begin(troupe.vacant(1.0)[0], 1.0)
    troupe.gone(third, 1.0)

    assert not troupe.gives_up()
    assert troupe.pause_s(1.0) == FIRST_PAUSE_S
    assert troupe.vacant(1.5) == []
    assert len(troupe.vacant(2.0)) == 1  # one at a time


def test_an_answer_means_that_starts_work_again(troupe):
    for _ in range(2):
        troupe.gone(troupe.begin(troupe.vacant(0.0)[0], 0.0), 0.0)
    troupe.works()
    troupe.gone(troupe.begin(troupe.vacant(0.0)[0], 0.0), 0.0)

    assert not troupe.gives_up()


def test_a_second_kill_for_memory_makes_it_go_on_with_one_fewer_for_a_time(troupe):
    first, second, _ = filled(troupe)
    troupe.gone(first, 10.0, for_memory=True)
    assert troupe.vacant(10.0) == [0]
    troupe.becomes_ready(troupe.begin(0, 10.0))

    troupe.gone(second, 20.0, for_memory=True)
    troupe.works()

    assert troupe.vacant(20.0) == []
    assert troupe.pause_s(20.0) == FIRST_PAUSE_S
    assert troupe.vacant(20.0 + FIRST_PAUSE_S) == [1]


def test_pauses_grow_with_kills_and_end_somewhere(troupe):
    pauses = []
    filled(troupe)
    now = 0.0
    for _ in range(12):
        now += 100.0
        for slot in troupe.vacant(now):
            troupe.becomes_ready(troupe.begin(slot, now))
        troupe.gone(troupe.ready()[0], now, for_memory=True)
        pauses.append(troupe.pause_s(now))

    assert pauses == sorted(pauses)
    assert pauses[0] == 0.0
    assert pauses[-1] == LONGEST_PAUSE_S


def test_kills_for_memory_far_apart_are_accidents(troupe):
    for number, now in zip(filled(troupe), (0.0, MEMORY_KILLS_S, 2 * MEMORY_KILLS_S), strict=True):
        troupe.gone(number, now, for_memory=True)
        assert troupe.pause_s(now) == 0.0


def test_too_many_leave_those_that_are_not_ready_first_and_high_slots_before_low(troupe):
    first, second, third = filled(troupe, ready=False)
    troupe.becomes_ready(second)
    troupe.becomes_ready(third)
    troupe.wanted = 1

    assert set(troupe.excess()) == {first, third}


def test_the_end_of_one_that_was_to_leave_is_nobodys_failure(troupe):
    filled(troupe)
    troupe.wanted = 1
    for number in troupe.excess():
        troupe.leaves(number)
        troupe.gone(number, 0.0, for_memory=True)

    assert troupe.vacant(0.0) == []
    assert troupe.pause_s(0.0) == 0.0


def test_a_leaving_actor_keeps_its_slot_until_it_has_ended(troupe):
    numbers = filled(troupe)
    troupe.wanted = 2
    (leaving,) = troupe.excess()
    troupe.leaves(leaving)
    troupe.wanted = 3

    assert troupe.vacant(0.0) == [3]
    troupe.gone(leaving, 0.0)
    assert troupe.vacant(0.0) == [2]
    assert troupe.ready() == numbers[:2]
