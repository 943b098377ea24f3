"""Who works on what, and who is past its time: rows of the table and a clock reading in."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from seqloader.executors.process.consumer.ledger import EMPTY, Ledger
from seqloader.executors.process.consumer.occupations import START_LIMIT_S, Occupations
from seqloader.executors.process.wire.table import ACKNOWLEDGED, ROW_WORDS, SINCE, TAKEN
from seqloader.tickets import Ticket

S = 1_000_000_000


class Facts:
    """Occupations of workers that are not there; their rows are written by the test."""

    def __init__(self, timeout_s):
        self.workers = {}
        self.ledger = Ledger()
        self.occupations = Occupations(self.workers, self.ledger, timeout_s)

    def set(self, rows, written=()):
        """(number, serial taken or 0, since when) of each worker; serials not answered yet."""
        self.workers.clear()
        self.occupations.words = words = [0] * 16 * ROW_WORDS
        for number, taken, since in rows:
            self.workers[number] = SimpleNamespace(
                slot=number, pid=number + 100, ready=True, overdue=False, born_ns=0, version=1
            )
            words[number * ROW_WORDS + TAKEN] = taken
            words[number * ROW_WORDS + SINCE] = since
        self.ledger.written = {serial: Ticket(2, 0, serial) for serial in written}

    def overdue(self, rows, written, now_ns):
        self.set(rows, written)
        return self.occupations.overdue(now_ns)


def test_without_a_limit_nobody_is_ever_overdue():
    facts = Facts(None)

    assert facts.overdue([(1, 5, 0)], [5], 10**18) == []
    assert facts.occupations.patience_s(None) is None
    assert facts.occupations.patience_s(7.0) == 7.0


def test_the_worker_that_holds_its_ticket_too_long_is_overdue():
    workers = [(1, 5, 0), (2, 6, 8 * S), (3, 0, 0)]

    assert Facts(10.0).overdue(workers, [5, 6], 11 * S) == [1]


def test_exactly_the_limit_is_not_past_it():
    assert Facts(10.0).overdue([(1, 5, 0)], [5], 10 * S) == []


def test_idle_workers_are_overdue_when_a_ticket_is_neglected_for_the_limit():
    facts = Facts(10.0)
    workers = [(1, 5, 30 * S), (2, 0, 0)]

    first = facts.overdue(workers, [5, 6], 30 * S)
    in_time = facts.overdue(workers, [5, 6], 40 * S)
    workers[0] = (1, 7, 39 * S)
    past = facts.overdue(workers, [6, 7], 40 * S + 1)

    assert (first, in_time, past) == ([], [], [2])


def test_a_ticket_taken_meanwhile_starts_the_time_anew():
    facts = Facts(10.0)

    facts.overdue([(1, 0, 0)], [5, 6], 0)
    facts.overdue([(1, 5, 9 * S)], [5, 6], 9 * S)
    idle_again = facts.overdue([(1, 0, 0)], [6], 11 * S)

    assert idle_again == []
    assert facts.overdue([(1, 0, 0)], [6], 22 * S) == [1]


def test_busy_workers_are_not_blamed_for_tickets_that_wait():
    facts = Facts(10.0)
    for now in range(0, 100, 5):
        assert facts.overdue([(1, 1 + now, now * S)], [1 + now, 900], now * S) == []


def test_workers_killed_for_neglect_are_not_named_again_at_once():
    facts = Facts(10.0)
    facts.overdue([(1, 0, 0)], [5], 0)

    assert facts.overdue([(1, 0, 0)], [5], 11 * S) == [1]
    assert facts.overdue([(2, 0, 0)], [5], 12 * S) == []


@given(
    st.floats(0.001, 1000),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**12)), max_size=6),
    st.integers(0, 10**12),
)
def test_whoever_is_named_holds_a_ticket_past_the_limit_or_is_idle(limit_s, rows, now_ns):
    workers = [(number, taken, since) for number, (taken, since) in enumerate(rows)]
    written = [taken for _, taken, _ in workers if taken]

    named = Facts(limit_s).overdue(workers, written, now_ns)

    late = [n for n, taken, since in workers if taken and now_ns - since > int(limit_s * 1e9)]
    assert named == late


@given(st.floats(0.001, 1000), st.none() | st.floats(0, 100))
def test_a_wait_ends_often_enough_to_look_again(limit_s, timeout_s):
    patience = Facts(limit_s).occupations.patience_s(timeout_s)

    assert patience is not None
    assert patience <= max(0.01, limit_s / 8)
    assert timeout_s is None or patience <= timeout_s


def test_a_worker_that_does_not_become_ready_is_overdue_in_two_minutes_or_ten_times_the_limit():
    for timeout_s, limit_s in [(1.0, START_LIMIT_S), (60.0, 600.0)]:
        facts = Facts(timeout_s)
        facts.set([(1, 0, 0)])
        facts.workers[1].ready = False

        assert facts.occupations.overdue(int(limit_s * S)) == []
        assert facts.occupations.overdue(int(limit_s * S) + 1) == [1]


def test_a_worker_that_was_killed_for_it_is_not_named_again():
    facts = Facts(1.0)
    facts.set([(1, 5, 0)], [5])
    facts.workers[1].overdue = True

    assert facts.occupations.overdue(9 * S) == []


def test_who_works_on_what_is_told_in_words_and_by_ticket():
    facts = Facts(None)
    facts.set([(1, 5, 0), (2, 0, 0), (3, 6, 0), (4, 0, 0), (5, 9, 0)], [5, 6, 7])
    facts.ledger.written[6] = EMPTY
    facts.workers[4].ready = False

    assert facts.occupations.busy() == [
        "worker 1 (pid 101) computes batch 5 (epoch 2)",
        "worker 4 (pid 104) is still starting",
    ]
    assert facts.occupations.holder(facts.ledger.written[5]) == (1, 101)
    assert facts.occupations.holder(facts.ledger.written[7]) is None
    assert facts.occupations.noted([1, 2]) == {1: 5, 2: 0}


def test_a_ticket_that_the_ledger_has_given_up_is_being_computed_while_it_is_noted():
    facts = Facts(None)

    facts.set([(1, 5, 0)])
    assert facts.occupations.anyone_works()
    facts.set([(1, 0, 0)])
    assert not facts.occupations.anyone_works()


def test_a_worker_needs_no_state_older_than_it_acknowledged_or_was_started_with():
    facts = Facts(None)
    facts.set([(1, 0, 0), (2, 0, 0)])
    facts.occupations.words[1 * ROW_WORDS + ACKNOWLEDGED] = 3

    assert facts.occupations.acknowledged() == [3, 1]


def test_before_there_is_a_table_nobody_does_anything():
    occupations = Facts(1.0).occupations

    assert occupations.busy() == occupations.acknowledged() == occupations.overdue(S) == []
    assert not occupations.anyone_works()
