"""The rules of what an executor answers: every ticket once, with its batch, or what was raised."""

from __future__ import annotations

import traceback
from collections import Counter

import numpy as np

from seqloader.executors.protocol import Executor
from seqloader.testing.deadline import DEADLINE_S, collect, open_all, tickets, within
from seqloader.testing.nests import assert_same
from seqloader.testing.sequences import ENDS, FAULTS, Contextual, Faulty, Holey, Nested, Numbered
from seqloader.testing.trial import ExecutorTrial
from seqloader.tickets import Lost, Raised, Ticket

__all__ = ["AnswerRules"]


class AnswerRules(ExecutorTrial):
    """Tickets and outcomes of one executor."""

    # Every ticket, once

    def test_it_is_an_executor(self) -> None:
        executor = self.make()

        assert isinstance(executor, Executor)
        assert executor.workers >= 0

    def test_every_ticket_is_answered_once_with_its_own_batch(self) -> None:
        executor = self.start(Numbered())

        for ticket in tickets(200, first=7):
            executor.submit(ticket)
        outcomes = collect(executor, 200)

        assert Counter(outcome.ticket for outcome in outcomes) == Counter(tickets(200, first=7))
        batches = open_all(outcomes)
        assert {index: batch.tolist() for index, batch in batches.items()} == {
            index: [index] * 4 for index in range(7, 207)
        }

    def test_a_ticket_comes_back_as_it_was_given(self) -> None:
        executor = self.start(Numbered())
        given = Ticket(epoch=3, position=2, index=1, attempt=4)

        executor.submit(given)
        (outcome,) = collect(executor, 1)

        assert outcome.ticket == given

    def test_a_ticket_may_be_given_again(self) -> None:
        executor = self.start(Numbered())
        given = Ticket(epoch=0, position=0, index=5)

        executor.submit(given)
        executor.submit(given)
        outcomes = collect(executor, 2)

        assert [outcome.ticket for outcome in outcomes] == [given, given]

    def test_nothing_is_collected_before_anything_is_submitted(self) -> None:
        executor = self.start(Numbered())

        assert list(executor.collect()) == []

    def test_an_outcome_is_collected_once(self) -> None:
        executor = self.start(Numbered())

        for ticket in tickets(10):
            executor.submit(ticket)
        collect(executor, 10)
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
        executor = self.start(Nested())

        for ticket in tickets(4):
            executor.submit(ticket)
        batches = open_all(collect(executor, 4))

        for index in range(4):
            expected = Nested()[index]
            assert_same(batches[index], expected)

    def test_an_outcome_says_where_and_how_long_it_was_computed(self) -> None:
        executor = self.start(Numbered())

        for ticket in tickets(20):
            executor.submit(ticket)
        outcomes = collect(executor, 20)

        for outcome in outcomes:
            assert not isinstance(outcome, Raised | Lost), outcome
            assert 0 <= outcome.slot < max(1, executor.workers)
            assert 0.0 <= outcome.busy_s < DEADLINE_S
            assert outcome.nbytes == 0 or outcome.nbytes >= 32

    def test_an_outcome_may_be_discarded_unopened(self) -> None:
        executor = self.start(Numbered())

        for ticket in tickets(20):
            executor.submit(ticket)
        for outcome in collect(executor, 20):
            assert not isinstance(outcome, Raised | Lost)
            outcome.discard()
        executor.submit(Ticket(0, 20, 20))

        assert open_all(collect(executor, 1))[20].tolist() == [20] * 4

    def test_an_opened_batch_outlives_later_ones_and_the_executor(self) -> None:
        executor = self.start(Numbered())

        executor.submit(Ticket(0, 0, 1))
        kept = open_all(collect(executor, 1))[1]
        for ticket in tickets(50, first=2):
            executor.submit(ticket)
        open_all(collect(executor, 50))
        within(DEADLINE_S, executor.stop, 5.0)
        kept += 1

        assert kept.tolist() == [2] * 4

    def test_a_batch_that_is_none_comes_through_as_none(self) -> None:
        executor = self.start(Holey())

        for ticket in tickets(6):
            executor.submit(ticket)
        batches = open_all(collect(executor, 6))

        assert [batches[index] is None for index in range(6)] == [False, True] * 3

    # Exceptions

    def test_exceptions_keep_their_type_and_harm_no_other_ticket(self) -> None:
        executor = self.start(Faulty())
        count = len(Faulty())

        for ticket in tickets(count):
            executor.submit(ticket)
        outcomes = {outcome.ticket.index: outcome for outcome in collect(executor, count)}

        for index in range(0, count, 2):
            assert open_all([outcomes[index]])[index].tolist() == [index] * 4
        for index, kind in zip(range(1, count, 2), FAULTS, strict=False):
            outcome = outcomes[index]
            assert isinstance(outcome, Raised), outcome
            if kind in ENDS:
                continue
            assert type(outcome.error) is kind
            assert outcome.error.args == (f"fault {index}",)

    def test_an_exception_that_would_end_a_loop_becomes_a_runtime_error(self) -> None:
        executor = self.start(Faulty())

        for kind in ENDS:
            executor.submit(Ticket(0, 0, 2 * FAULTS.index(kind) + 1))
            (outcome,) = collect(executor, 1)
            assert isinstance(outcome, Raised), outcome
            assert type(outcome.error) is RuntimeError
            assert kind.__name__ in str(outcome.error)
            assert type(outcome.error.__cause__) is kind

    def test_an_exception_with_a_constructor_of_its_own_arrives(self) -> None:
        executor = self.start(Faulty())
        index = len(Faulty()) - 1

        executor.submit(Ticket(0, 0, index))
        (outcome,) = collect(executor, 1)

        assert isinstance(outcome, Raised)
        shown = "".join(traceback.format_exception(outcome.error))
        assert "TwoPartFault" in shown
        assert f"{index}: broken" in shown

    def test_an_exception_shows_where_the_sequence_raised_it(self) -> None:
        executor = self.start(Faulty())

        executor.submit(Ticket(0, 0, 1))
        (outcome,) = collect(executor, 1)

        assert isinstance(outcome, Raised)
        shown = "".join(traceback.format_exception(outcome.error))
        assert "raise FAULTS[index // 2]" in shown

    # Randomness

    def test_a_batch_knows_its_place_and_draws_from_seed_epoch_and_index_alone(self) -> None:
        given = [Ticket(epoch, position, 9 - position) for epoch in (0, 3) for position in range(8)]
        expected = {ticket: self.seeding.compute_aside(Contextual(), ticket) for ticket in given}
        executor = self.start(Contextual())

        for ticket in given:
            executor.submit(ticket)
        outcomes = collect(executor, len(given))

        for outcome in outcomes:
            ((_, (place, numbers)),) = open_all([outcome]).items()
            ticket = outcome.ticket
            assert tuple(place) == (ticket.epoch, ticket.position, ticket.index)
            assert np.array_equal(numbers, expected[ticket][1])
        assert len({numbers.tobytes() for _, numbers in expected.values()}) == len(given)

    def test_a_batch_computed_again_draws_the_same_numbers(self) -> None:
        executor = self.start(Contextual())

        for attempt in range(6):
            executor.submit(Ticket(1, 2, 3, attempt))
        drawn = [open_all([outcome])[3][1].tobytes() for outcome in collect(executor, 6)]

        assert len(set(drawn)) == 1

    # State

    def test_load_makes_a_rebound_attribute_visible(self) -> None:
        sequence = Numbered()
        executor = self.start(sequence)
        executor.submit(Ticket(0, 0, 3))
        assert open_all(collect(executor, 1))[3].tolist() == [3] * 4

        sequence.scale = 10
        within(DEADLINE_S, executor.discard)
        within(DEADLINE_S, executor.load, sequence, in_place=False)
        for ticket in tickets(20, epoch=1):
            executor.submit(ticket)

        batches = open_all(collect(executor, 20))
        assert [batches[index][0] for index in range(20)] == [10 * index for index in range(20)]

    def test_load_in_place_makes_a_change_inside_an_array_visible(self) -> None:
        sequence = Numbered()
        executor = self.start(sequence)
        executor.submit(Ticket(0, 0, 3))
        assert open_all(collect(executor, 1))[3].tolist() == [3] * 4

        sequence.table[:] = 100
        within(DEADLINE_S, executor.discard)
        within(DEADLINE_S, executor.load, sequence, in_place=True)
        for ticket in tickets(20, epoch=1):
            executor.submit(ticket)

        batches = open_all(collect(executor, 20))
        assert [batches[index][0] for index in range(20)] == [100 + index for index in range(20)]

    # Several

    def test_two_executors_at_once_do_not_mix(self) -> None:
        one, other = self.start(Numbered(scale=1)), self.start(Numbered(scale=15))

        for ticket in tickets(60):
            one.submit(ticket)
            other.submit(ticket)
        from_other, from_one = open_all(collect(other, 60)), open_all(collect(one, 60))

        assert [from_one[index][0] for index in range(60)] == list(range(60))
        assert [from_other[index][0] for index in range(60)] == [15 * i for i in range(60)]
