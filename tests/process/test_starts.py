"""When starts of workers that fail are put off, and when they are given up."""

from __future__ import annotations

import itertools
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.executors.process.consumer.starts import Starts, is_kill

FAILURES = st.lists(st.booleans(), max_size=40)
"""Of each, whether it was a kill from elsewhere."""


def failed(*killed):
    """Starts of which so many have failed in a row."""
    starts = Starts()
    for one in killed:
        starts.note_failure(from_elsewhere=one)
    return starts


def test_two_failures_may_be_an_accident():
    starts = failed(False, False)

    assert not starts.gives_up(living=0, serving=0)
    assert starts.pause_s(0) == starts.pause_s(3) == 0


def test_the_third_worker_that_ends_by_itself_is_the_last_if_nobody_serves():
    starts = failed(False, False, False)

    assert starts.gives_up(living=0, serving=0)
    assert not starts.gives_up(living=0, serving=1)


def test_while_others_are_still_starting_each_of_them_may_show_that_it_is_no_fault_of_the_program():
    assert not failed(*[False] * 7).gives_up(living=5, serving=0)
    assert failed(*[False] * 8).gives_up(living=5, serving=0)
    assert not failed(*[False] * 8).gives_up(living=5, serving=1)


def test_a_kill_comes_from_elsewhere_so_a_fourth_start_is_tried():
    assert not failed(*[True] * 9).gives_up(living=0, serving=0)
    assert failed(*[True] * 10).gives_up(living=0, serving=0)


def test_while_others_are_still_starting_more_kills_are_borne_but_not_for_ever():
    assert not failed(*[True] * 39).gives_up(living=50, serving=0)
    assert failed(*[True] * 40).gives_up(living=50, serving=0)


@given(FAILURES, st.integers(1, 64))
def test_while_a_worker_serves_nothing_is_given_up(kills, serving):
    assert not failed(*kills).gives_up(serving, serving)


@given(FAILURES, st.integers(0, 3))
def test_pauses_grow_to_a_bound_which_is_lower_where_the_consumer_waits(kills, living):
    starts, pauses = Starts(), []
    for killed in kills:
        starts.note_failure(from_elsewhere=killed)
        pauses.append(starts.pause_s(living))

    bound = Starts.LONGEST_PAUSE_S if living else Starts.LONGEST_ALONE_S
    assert pauses == sorted(pauses)
    assert all(pause <= bound for pause in pauses)
    assert all(after in (2 * before, bound) for before, after in itertools.pairwise(pauses[2:]))


@given(FAILURES, FAILURES)
def test_a_worker_that_answers_starts_the_count_anew(before, after):
    starts = failed(*before)
    starts.works()
    for killed in after:
        starts.note_failure(from_elsewhere=killed)

    anew = failed(*after)
    assert starts.failed == anew.failed
    assert starts.gives_up(0, 0) == anew.gives_up(0, 0)
    assert starts.pause_s(1) == anew.pause_s(1)


@given(st.lists(st.integers(1, 9), max_size=40))
def test_of_failures_that_go_on_ever_fewer_are_said(at_once):
    starts, said, failures = Starts(), [], 0
    for some in at_once:
        for _ in range(some):
            starts.note_failure()
        failures += some
        if starts.must_say():
            said.append(failures)

    assert said[:1] == at_once[:1]
    assert all(after >= 2 * before for before, after in itertools.pairwise(said))
    assert not at_once or failures < 2 * said[-1]


@pytest.mark.parametrize(
    ("exitcode", "kill"),
    [
        (-signal.SIGKILL, True),
        (-signal.SIGTERM, True),
        (-signal.SIGSEGV, False),
        (-signal.SIGABRT, False),
        (0, False),
        (3, False),
        (None, False),
    ],
)
def test_only_signals_that_no_fault_raises_count_as_kills(exitcode, kill):
    assert is_kill(exitcode) == kill
