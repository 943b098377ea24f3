"""The rules of what an executor answers: every ticket once, with its batch, or what was raised."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any

import numpy as np

from seqloader.executors.protocol import Executor, SharesGenerators
from seqloader.testing.deadline import (
    DEADLINE_S,
    answers_to,
    collect,
    open_all,
    tickets,
    within,
)
from seqloader.testing.sequences import (
    ENDS,
    FAULTS,
    Contextual,
    Drawing,
    Faulty,
    Holey,
    Nested,
    Numbered,
)
from seqloader.testing.trial import ExecutorTrial
from seqloader.tickets import Computed, Lost, Outcome, Raised, Ticket

__all__ = ["AnswerRules"]


class AnswerRules(ExecutorTrial):
    """Tickets and outcomes of one executor."""

    # Every ticket, once

    def test_it_is_an_executor(self) -> None:
        executor = self.make()

        assert isinstance(executor, Executor)
        assert executor.workers >= 0

    def test_every_ticket_is_answered_once_with_its_own_batch(self) -> None:
        given = tickets(200, first=7)

        outcomes = answers_to(self.start(Numbered()), given)

        assert Counter(outcome.ticket for outcome in outcomes) == Counter(given)
        assert _numbers(open_all(outcomes)) == {index: index for index in range(7, 207)}

    def test_a_ticket_comes_back_as_it_was_given_and_as_often(self) -> None:
        given = Ticket(epoch=3, position=2, index=1, attempt=4)

        outcomes = answers_to(self.start(Numbered()), [given, given])

        assert [outcome.ticket for outcome in outcomes] == [given, given]

    def test_nothing_is_collected_before_anything_is_submitted(self) -> None:
        assert list(self.start(Numbered()).collect()) == []

    def test_an_outcome_is_collected_once(self) -> None:
        executor = self.start(Numbered())

        answers_to(executor, tickets(10))
        executor.wait(0.0)

        assert list(executor.collect()) == []

    def test_submit_blocks_for_no_number_of_tickets(self) -> None:
        executor = self.start(Numbered())

        def submit() -> None:
            for ticket in tickets(5_000):
                executor.submit(ticket)

        within(DEADLINE_S, submit)
        outcomes = collect(executor, 5_000, deadline_s=2 * DEADLINE_S)

        assert {outcome.ticket.index for outcome in outcomes} == set(range(5_000))

    # What an outcome says

    def test_nests_come_through_with_their_containers_and_types(self) -> None:
        batches = open_all(answers_to(self.start(Nested()), tickets(4)))

        for index in range(4):
            assert _likeness(batches[index]) == _likeness(Nested()[index])

    def test_an_outcome_says_where_and_how_long_it_was_computed(self) -> None:
        executor = self.start(Numbered())

        for outcome in _computed(answers_to(executor, tickets(20))):
            assert 0 <= outcome.slot < max(1, executor.workers)
            assert 0.0 <= outcome.busy_s < DEADLINE_S
            assert outcome.nbytes == 0 or outcome.nbytes >= 32

    def test_an_outcome_may_be_discarded_unopened(self) -> None:
        executor = self.start(Numbered())

        for outcome in _computed(answers_to(executor, tickets(20))):
            outcome.discard()

        assert _numbers(open_all(answers_to(executor, [Ticket(0, 20, 20)]))) == {20: 20}

    def test_an_opened_batch_outlives_later_ones_and_the_executor(self) -> None:
        executor = self.start(Numbered())

        kept = open_all(answers_to(executor, [Ticket(0, 0, 1)]))[1]
        open_all(answers_to(executor, tickets(50, first=2)))
        within(DEADLINE_S, executor.stop, 5.0)
        kept += 1

        assert kept.tolist() == [2] * 4

    def test_a_batch_that_is_none_comes_through_as_none(self) -> None:
        batches = open_all(answers_to(self.start(Holey()), tickets(6)))

        assert [batches[index] is None for index in range(6)] == [False, True] * 3

    # Exceptions

    def test_exceptions_keep_their_type_and_harm_no_other_ticket(self) -> None:
        given = tickets(len(Faulty()))

        outcomes = answers_to(self.start(Faulty()), given)
        found = {outcome.ticket.index: outcome for outcome in outcomes}

        whole = open_all(found[ticket.index] for ticket in given[::2])
        assert _numbers(whole) == {index: index for index in range(0, len(given), 2)}
        for index, kind in zip(range(1, len(given), 2), FAULTS, strict=False):
            raised = _raised(found[index])
            if kind not in ENDS:
                assert type(raised.error) is kind
                assert raised.error.args == (f"fault {index}",)

    def test_an_exception_that_would_end_a_loop_becomes_a_runtime_error(self) -> None:
        executor = self.start(Faulty())

        for kind in ENDS:
            (outcome,) = answers_to(executor, [Ticket(0, 0, 2 * FAULTS.index(kind) + 1)])
            error = _raised(outcome).error
            assert type(error) is RuntimeError
            assert kind.__name__ in str(error)
            assert type(error.__cause__) is kind

    def test_an_exception_with_a_constructor_of_its_own_arrives(self) -> None:
        index = len(Faulty()) - 1

        (outcome,) = answers_to(self.start(Faulty()), [Ticket(0, 0, index)])

        shown = "".join(traceback.format_exception(_raised(outcome).error))
        assert "TwoPartFault" in shown
        assert f"{index}: broken" in shown

    def test_an_exception_shows_where_the_sequence_raised_it(self) -> None:
        (outcome,) = answers_to(self.start(Faulty()), [Ticket(0, 0, 1)])

        shown = "".join(traceback.format_exception(_raised(outcome).error))
        assert "raise FAULTS[index // 2]" in shown

    # Randomness

    def test_a_batch_knows_its_place_and_draws_from_seed_epoch_and_index_alone(self) -> None:
        given = [Ticket(epoch, position, 9 - position) for epoch in (0, 3) for position in range(8)]
        expected = {ticket: self.seeding.compute_aside(Contextual(), ticket) for ticket in given}

        for outcome in answers_to(self.start(Contextual()), given):
            ((_, (place, numbers)),) = open_all([outcome]).items()
            ticket = outcome.ticket
            assert tuple(place) == (ticket.epoch, ticket.position, ticket.index)
            assert np.array_equal(numbers, expected[ticket][1])
        assert len({numbers.tobytes() for _, numbers in expected.values()}) == len(given)

    def test_a_batch_computed_again_draws_the_same_numbers(self) -> None:
        outcomes = answers_to(
            self.start(Contextual()), [Ticket(1, 2, 3, attempt) for attempt in range(6)]
        )

        assert len({open_all([outcome])[3][1].tobytes() for outcome in outcomes}) == 1

    def test_workers_that_share_generators_compute_nothing_while_the_consumer_has_the_turn(
        self,
    ) -> None:
        executor = self.start(Drawing())
        answers_to(executor, tickets(1))  # the first batch may make generators
        if not isinstance(executor, SharesGenerators):
            return

        assert executor.takes_turns()
        with executor.turn():
            executor.submit(Ticket(0, 1, 1))
            executor.wait(0.05)
            assert list(executor.collect()) == []
        assert set(open_all(collect(executor, 1))) == {1}

    # State

    def test_load_makes_a_rebound_attribute_visible(self) -> None:
        sequence = Numbered()
        executor = self.start(sequence)
        assert _numbers(open_all(answers_to(executor, [Ticket(0, 0, 3)]))) == {3: 3}

        sequence.scale = 10
        within(DEADLINE_S, executor.discard)
        within(DEADLINE_S, executor.load, sequence, in_place=False)

        batches = open_all(answers_to(executor, tickets(20, epoch=1)))
        assert _numbers(batches) == {index: 10 * index for index in range(20)}

    def test_load_in_place_makes_a_change_inside_an_array_visible(self) -> None:
        sequence = Numbered()
        executor = self.start(sequence)
        assert _numbers(open_all(answers_to(executor, [Ticket(0, 0, 3)]))) == {3: 3}

        sequence.table[:] = 100
        within(DEADLINE_S, executor.discard)
        within(DEADLINE_S, executor.load, sequence, in_place=True)

        batches = open_all(answers_to(executor, tickets(20, epoch=1)))
        assert _numbers(batches) == {index: 100 + index for index in range(20)}

    # Several

    def test_two_executors_at_once_do_not_mix(self) -> None:
        one, other = self.start(Numbered(scale=1)), self.start(Numbered(scale=15))

        for ticket in tickets(60):
            one.submit(ticket)
            other.submit(ticket)
        from_other, from_one = open_all(collect(other, 60)), open_all(collect(one, 60))

        assert _numbers(from_one) == {index: index for index in range(60)}
        assert _numbers(from_other) == {index: 15 * index for index in range(60)}


def _numbers(batches: dict[int, Any]) -> dict[int, int]:
    """What batches of `Numbered` are full of, by index."""
    assert all(batch.tolist() == [batch[0]] * 4 for batch in batches.values()), batches
    return {index: int(batch[0]) for index, batch in batches.items()}


def _computed(outcomes: list[Outcome]) -> list[Computed]:
    found = [outcome for outcome in outcomes if not isinstance(outcome, Raised | Lost)]
    assert len(found) == len(outcomes), outcomes
    return found


def _raised(outcome: Outcome) -> Raised:
    assert isinstance(outcome, Raised), outcome
    return outcome


def _likeness(nest: Any) -> Any:
    """Equal for nests of the same containers, dtypes, shapes and values."""
    if isinstance(nest, np.ndarray):
        return type(nest), nest.dtype, nest.shape, nest.tolist()
    if isinstance(nest, dict):
        return type(nest), [(key, _likeness(part)) for key, part in nest.items()]
    if isinstance(nest, tuple | list):
        return type(nest), [_likeness(part) for part in nest]
    return type(nest), nest
