"""Which actor computes which tickets: every order of events, without Ray."""

from __future__ import annotations

import random

import pytest

from seqloader.executors.ray.assignment import BEHIND_S, FREE_TRIES, Assignment
from seqloader.tickets import Ticket

LATER = 100.0


@pytest.fixture
def assignment():
    assignment = Assignment()
    yield assignment
    assignment.check()


def tickets(count, first=0):
    return [Ticket(0, position, 100 + position) for position in range(first, first + count)]


def submit(assignment, given):
    for ticket in given:
        assignment.submit(ticket)


def send(assignment, *, chunk=1, wanted=2, flush=True, now=0.0):
    return list(assignment.send(chunk, wanted, now, flush=flush))


def positions(calls):
    return [[task.position for task in call.tasks] for call in calls]


def answer(assignment, call, now=0.0):
    return [None if task is None else task.position for task in assignment.answered(call, now)]


def test_nothing_goes_to_actors_that_have_not_joined(assignment):
    submit(assignment, tickets(5))

    assert send(assignment) == []
    assignment.join(1)
    assert positions(send(assignment, wanted=1)) == [[0], [1], [2], [3], [4]]


def test_all_goes_out_at_once_evenly_and_in_order(assignment):
    assignment.join(1)
    assignment.join(2)
    submit(assignment, tickets(6))

    calls = send(assignment)

    assert positions(calls) == [[0], [1], [2], [3], [4], [5]]
    assert sorted(call.actor for call in calls) == [1, 1, 1, 2, 2, 2]


def test_those_to_come_have_their_part_kept_for_them(assignment):
    assignment.join(1)
    submit(assignment, tickets(8))

    assert len(send(assignment, wanted=4)) == 2
    assignment.join(2)
    assert len(send(assignment, wanted=4)) == 2
    assert assignment.waiting == 4


def take_back(assignment):
    """Recall what is queued, of which nothing has begun."""
    recalled = assignment.balance(LATER)
    for call in recalled:
        assignment.not_begun(call.actor, {call.number})
    return recalled


def test_an_answer_closes_a_task(assignment):
    assignment.join(1)
    submit(assignment, tickets(2))
    first, second = send(assignment, wanted=1)

    assert answer(assignment, first) == [0]
    assert not assignment.is_idle
    assert answer(assignment, second) == [1]
    assert assignment.is_idle


def test_the_earliest_that_is_queued_goes_to_the_actor_with_nothing_to_do(assignment):
    assignment.join(1)
    submit(assignment, tickets(4))
    send(assignment, wanted=1)
    assignment.join(2)

    void = take_back(assignment)

    assert positions(void) == [[1]]
    assert [(call.actor, call.tasks[0].position) for call in send(assignment)] == [(2, 1)]
    assert assignment.balance(LATER) == []


def test_what_is_recalled_stays_where_it_is_until_its_actor_says_that_it_has_not_begun_it(
    assignment,
):
    assignment.join(1)
    submit(assignment, tickets(2))
    first, second = send(assignment, wanted=1)
    assignment.join(2)

    assert assignment.balance(LATER) == [second]
    assert assignment.balance(LATER) == []  # once is enough
    assert send(assignment) == []
    assignment.not_begun(1, set())
    assert answer(assignment, first) == [0]
    assert answer(assignment, second) == [1]


def test_what_its_actor_throws_away_after_all_is_dispatched_again(assignment):
    assignment.join(1)
    submit(assignment, tickets(2))
    first, second = send(assignment, wanted=1)
    assignment.join(2)
    assignment.balance(LATER)
    assignment.not_begun(1, set())
    answer(assignment, first)

    assignment.thrown_away(second, 1.0)

    assert positions(send(assignment)) == [[1]]


def test_what_is_queued_behind_a_call_that_has_only_begun_stays_there(assignment):
    assignment.join(1)
    submit(assignment, tickets(4))
    send(assignment, wanted=1, now=7.0)
    assert assignment.balance_due() is None  # nobody has nothing to do
    assignment.join(2)

    assert assignment.balance_due() == 7.0 + BEHIND_S
    assert assignment.balance(7.0 + BEHIND_S / 2) == []
    assert len(assignment.balance(7.0 + 2 * BEHIND_S)) == 1


def test_what_an_actor_has_thrown_away_is_computed_by_the_other(assignment):
    assignment.join(1)
    submit(assignment, tickets(2))
    _, second = send(assignment, wanted=1)
    assignment.join(2)
    (void,) = take_back(assignment)
    (again,) = send(assignment)

    assignment.thrown_away(void, 1.0)

    assert answer(assignment, again) == [1]
    assert second.void


def test_a_death_is_counted_on_the_one_task_that_its_actor_had(assignment):
    assignment.join(1)
    given = tickets(2)
    submit(assignment, given)
    first, _ = send(assignment, wanted=1)
    answer(assignment, first)

    assert assignment.gone(1, blames=True) == given[1]


def test_where_it_may_have_been_several_each_is_tried_alone_before_one_is_blamed(assignment):
    assignment.join(1)
    assignment.join(2)
    given = tickets(4)
    submit(assignment, given)
    calls = send(assignment, wanted=1)
    mine = [call for call in calls if call.actor == 1]
    assert positions(mine) == [[0], [2]]

    assert assignment.gone(1, blames=True) is None
    assert send(assignment) == []  # the other actor has something else
    for call in calls:
        if call.actor == 2:
            answer(assignment, call)
    (again,) = send(assignment)
    assert positions([again]) == [[0]]
    assignment.join(3)
    submit(assignment, tickets(2, first=9))
    (third, *_) = send(assignment)
    assert (third.actor, third.tasks[0].position) == (3, 2)
    assert send(assignment) == []  # both have a task that is to be alone

    assert answer(assignment, again) == [0]
    assert assignment.gone(3, blames=True) == given[2]
    assert positions(send(assignment)) == [[9], [10]]


def test_what_is_to_be_alone_goes_before_what_is_queued_and_comes_later(assignment):
    assignment.join(1)
    assignment.join(2)
    submit(assignment, tickets(8))
    theirs = [call for call in send(assignment) if call.actor == 2]
    assert positions(theirs) == [[1], [3], [5], [7]]

    assignment.gone(1, blames=True)
    recalled = take_back(assignment)
    assert positions(recalled) == [[3], [5], [7]]  # the first may have begun
    assert answer(assignment, theirs[0]) == [1]
    for call in recalled:
        assignment.thrown_away(call, 0.0)

    order = []
    while len(order) < 7:
        for call in send(assignment, wanted=1):
            order += answer(assignment, call)
    assert order == [0, 2, 3, 4, 5, 6, 7]


def test_a_call_that_has_run_too_long_is_to_blame_whatever_is_queued_behind_it(assignment):
    assignment.join(1)
    given = tickets(3)
    submit(assignment, given)
    send(assignment, wanted=1)

    assert assignment.gone(1, blames=True, is_certain=True) == given[0]
    assignment.join(2)
    assert positions(send(assignment, wanted=1)) == [[1], [2]]


def test_a_death_that_blames_nobody_costs_nothing_until_it_has_happened_often(assignment):
    (given,) = tickets(1)
    assignment.submit(given)
    for actor in range(FREE_TRIES):
        assignment.join(actor)
        assert len(send(assignment)) == 1
        assert assignment.gone(actor, blames=False) is None
    assignment.join(99)
    send(assignment)

    assert assignment.gone(99, blames=False) == given


def test_a_death_in_a_call_of_several_has_each_of_them_tried_alone_first(assignment):
    assignment.join(1)
    given = tickets(4)
    submit(assignment, given)
    (call,) = send(assignment, chunk=4, wanted=1)
    assert positions([call]) == [[0, 1, 2, 3]]

    assert assignment.gone(1, blames=True) is None
    assignment.join(2)
    (again,) = send(assignment, chunk=4, wanted=1)
    assert answer(assignment, again) == [0]
    (again,) = send(assignment, chunk=4, wanted=1)

    assert positions([again]) == [[1]]
    assert assignment.gone(2, blames=True) == given[1]


def test_a_lost_answer_costs_its_call_alone_another_try(assignment):
    assignment.join(1)
    submit(assignment, tickets(3))
    _, second, _ = send(assignment, wanted=1)

    assert assignment.lost(second, 1.0) == []
    assert positions(send(assignment, wanted=1)) == [[1]]


def test_an_answer_that_is_lost_again_and_again_is_given_up(assignment):
    (given,) = tickets(1)
    assignment.join(1)
    assignment.submit(given)
    for _ in range(FREE_TRIES):
        (call,) = send(assignment)
        assert assignment.lost(call, 0.0) == []
    (call,) = send(assignment)

    assert assignment.lost(call, 0.0) == [given]


def test_what_is_dispatched_again_comes_before_what_never_was(assignment):
    assignment.join(1)
    submit(assignment, tickets(2))
    send(assignment, wanted=1)
    submit(assignment, tickets(2, first=2))
    assignment.gone(1, blames=False)
    assignment.join(2)

    assert positions(send(assignment, wanted=1)) == [[0], [1], [2], [3]]


def test_a_part_of_a_chunk_waits_until_it_is_told_not_to(assignment):
    assignment.join(1)
    submit(assignment, tickets(5))

    assert positions(send(assignment, chunk=4, wanted=1, flush=False)) == [[0, 1, 2, 3]]
    assert positions(send(assignment, chunk=4, wanted=1, flush=True)) == [[4]]


def test_after_discard_answers_are_thrown_away_and_it_is_idle_when_all_have_come(assignment):
    assignment.join(1)
    submit(assignment, tickets(3))
    calls = send(assignment, wanted=1)

    assert assignment.discard() == [1]
    submit(assignment, tickets(1, first=9))

    assert answer(assignment, calls[0]) == [None]
    for call in calls[1:]:
        assert not assignment.is_idle
        assignment.thrown_away(call, 0.0)
    assert assignment.is_idle
    assert positions(send(assignment, wanted=1)) == [[9]]


def test_a_death_after_discard_is_counted_on_nobody(assignment):
    assignment.join(1)
    submit(assignment, tickets(2))
    send(assignment, wanted=1)
    assignment.discard()

    assert assignment.gone(1, blames=True) is None
    assert assignment.waiting == 0


def test_an_actor_that_leaves_finishes_its_call_and_others_get_the_rest(assignment):
    assignment.join(1)
    submit(assignment, tickets(3))
    first, *rest = send(assignment, wanted=1)

    assert assignment.leave(1) == rest
    assignment.not_begun(1, {call.number for call in rest})
    assert send(assignment) == []
    assignment.join(2)
    assert positions(send(assignment)) == [[1], [2]]
    assert answer(assignment, first) == [0]
    assert not assignment.has_left(1)
    for call in rest:
        assignment.thrown_away(call, 0.0)
    assert assignment.has_left(1)


def test_the_same_ticket_twice_is_answered_twice(assignment):
    assignment.join(1)
    (given,) = tickets(1)
    submit(assignment, [given, given])

    calls = send(assignment, wanted=1)

    assert [answer(assignment, call) for call in calls] == [[0], [0]]


def test_a_call_runs_from_when_it_was_sent_or_the_one_before_was_answered(assignment):
    assignment.join(1)
    submit(assignment, tickets(2))
    first, second = send(assignment, wanted=1, now=5.0)
    assert assignment.oldest() == [first]
    assert first.since == 5.0

    answer(assignment, first, now=8.0)

    assert assignment.oldest() == [second]
    assert second.since == 8.0


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_every_ticket_is_answered_or_lost_exactly_once(seed):
    rng = random.Random(seed)
    assignment, actors, calls, heard = Assignment(), [], [], []
    given = tickets(60)
    waiting, names = list(given), iter(range(10_000))
    for _ in range(5_000):
        event = rng.choice(["submit", "join", "send", "answer", "gone", "lost", "balance"])
        if event == "submit" and waiting:
            assignment.submit(waiting.pop(0))
        elif event == "join" and len(actors) < 3:
            actors.append(next(names))
            assignment.join(actors[-1])
        elif event == "send":
            calls += send(assignment, chunk=rng.choice([1, 1, 3]), flush=rng.random() < 0.5)
        elif event == "balance":
            for call in assignment.balance(LATER):
                if rng.random() < 0.7:
                    assignment.not_begun(call.actor, {call.number})
        elif event == "gone" and actors and rng.random() < 0.2:
            actor = actors.pop(rng.randrange(len(actors)))
            calls = [call for call in calls if call.actor != actor]
            culprit = assignment.gone(actor, blames=rng.random() < 0.5)
            heard += [] if culprit is None else [culprit]
        elif event in ("answer", "lost") and calls:
            heads = [assignment.head(actor) for actor in actors]
            head = rng.choice([one for one in heads if one is not None] or [None])
            if head is None:
                continue
            calls.remove(head)
            if head.void or (head.recalled and rng.random() < 0.2):
                assignment.thrown_away(head, 0.0)
            elif event == "lost":
                heard += assignment.lost(head, 0.0)
            else:
                heard += [task.ticket for task in assignment.answered(head, 0.0) if task]
        assignment.check()
        if len(heard) == len(given):
            break

    assert sorted(heard) == sorted(given)
