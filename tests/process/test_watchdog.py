"""Which workers have passed their time: a clock reading in, numbers out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seqloader.executors.process.consumer.watchdog import Watchdog

S = 1_000_000_000


def test_without_a_limit_nobody_is_ever_overdue():
    watchdog = Watchdog(None)

    assert watchdog.overdue([(1, 5, 0)], [5], 10**18) == []
    assert watchdog.patience_s(None) is None
    assert watchdog.patience_s(7.0) == 7.0


def test_the_worker_that_holds_its_ticket_too_long_is_overdue():
    workers = [(1, 5, 0), (2, 6, 8 * S), (3, 0, 0)]

    assert Watchdog(10.0).overdue(workers, [5, 6], 11 * S) == [1]


def test_exactly_the_limit_is_not_past_it():
    assert Watchdog(10.0).overdue([(1, 5, 0)], [5], 10 * S) == []


def test_idle_workers_are_overdue_when_a_ticket_is_neglected_for_the_limit():
    watchdog = Watchdog(10.0)
    workers = [(1, 5, 30 * S), (2, 0, 0)]

    first = watchdog.overdue(workers, [5, 6], 30 * S)
    in_time = watchdog.overdue(workers, [5, 6], 40 * S)
    workers[0] = (1, 7, 39 * S)
    past = watchdog.overdue(workers, [6, 7], 40 * S + 1)

    assert (first, in_time, past) == ([], [], [2])


def test_a_ticket_taken_meanwhile_starts_the_time_anew():
    watchdog = Watchdog(10.0)

    watchdog.overdue([(1, 0, 0)], [5, 6], 0)
    watchdog.overdue([(1, 5, 9 * S)], [5, 6], 9 * S)
    idle_again = watchdog.overdue([(1, 0, 0)], [6], 11 * S)

    assert idle_again == []
    assert watchdog.overdue([(1, 0, 0)], [6], 22 * S) == [1]


def test_busy_workers_are_not_blamed_for_tickets_that_wait():
    watchdog = Watchdog(10.0)
    for now in range(0, 100, 5):
        assert watchdog.overdue([(1, 1 + now, now * S)], [1 + now, 900], now * S) == []


def test_workers_killed_for_neglect_are_not_named_again_at_once():
    watchdog = Watchdog(10.0)
    watchdog.overdue([(1, 0, 0)], [5], 0)

    assert watchdog.overdue([(1, 0, 0)], [5], 11 * S) == [1]
    assert watchdog.overdue([(2, 0, 0)], [5], 12 * S) == []


@given(
    st.floats(0.001, 1000),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**12)), max_size=6),
    st.integers(0, 10**12),
)
def test_whoever_is_named_holds_a_ticket_past_the_limit_or_is_idle(limit_s, rows, now_ns):
    workers = [(number, taken, since) for number, (taken, since) in enumerate(rows)]
    written = [taken for _, taken, _ in workers if taken]

    named = Watchdog(limit_s).overdue(workers, written, now_ns)

    late = [n for n, taken, since in workers if taken and now_ns - since > int(limit_s * 1e9)]
    assert named == late


@given(st.floats(0.001, 1000), st.none() | st.floats(0, 100))
def test_a_wait_ends_often_enough_to_look_again(limit_s, timeout_s):
    patience = Watchdog(limit_s).patience_s(timeout_s)

    assert patience is not None
    assert patience <= max(0.01, limit_s / 8)
    assert timeout_s is None or patience <= timeout_s
