"""When to give up starting workers that die before their first batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seqloader.executors.process.consumer.starts import Starts


def test_the_third_death_in_a_row_is_the_last():
    starts = Starts()

    assert [starts.died(), starts.died(), starts.died()] == [False, False, True]


def test_a_worker_that_answers_starts_the_count_anew():
    starts = Starts()
    starts.died()
    starts.died()
    starts.works()

    assert [starts.died(), starts.died(), starts.died()] == [False, False, True]


@given(st.lists(st.booleans()))
def test_it_gives_up_exactly_when_the_last_three_events_are_deaths(deaths):
    starts = Starts()
    for seen, death in enumerate(deaths, 1):
        if death:
            assert starts.died() == (seen >= 3 and all(deaths[seen - 3 : seen]))
        else:
            starts.works()
        if death and seen >= 3 and all(deaths[seen - 3 : seen]):
            return
