"""The delivery of batches alone: the run it serves is a stand-in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from run.stand_ins import Executor, Guest, options

from seqloader import EnqueuerStopped
from seqloader.order import Plan
from seqloader.run.delivery import Delivery
from seqloader.run.epoch import Epoch
from seqloader.run.iterators import EpochIterator, StreamIterator
from seqloader.run.own_stop import OwnStop
from seqloader.run.session import Session
from seqloader.run.states import EpochState
from seqloader.run.telling import Telling
from seqloader.stats import Counters
from seqloader.tickets import Raised

NOTHING_AHEAD: Any = SimpleNamespace(in_flight=0)


class Answering(Executor):
    """Answers each ticket with its index."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets: list[Any] = []

    def submit(self, ticket: Any) -> None:
        super().submit(ticket)
        self.tickets.append(ticket)

    def collect(self) -> list[Any]:
        taken, self.tickets = self.tickets, []
        return [
            SimpleNamespace(
                ticket=one, slot=0, busy_s=0.0, nbytes=8, open=lambda one=one: ("batch", one.index)
            )
            for one in reversed(taken)
        ]


class Course(Guest):
    """A run whose epochs are all alike, and have no hooks."""

    patience_s = 60.0

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self.options = options(executor)
        self.session = Session(self, self.options)
        self.epochs = self
        self.own_stop = OwnStop()
        self.epoch: Any = None
        self.stream: object = None
        self.consumer = 0
        self.empty_epochs = 0
        self.counters = Counters()
        self.telling = Telling(self.session, self.counters, NOTHING_AHEAD)
        self.ended = 0
        self.length = 3

    def begin(self) -> Epoch:
        assert self.session.executor is not None
        plan = Plan(self.length, epoch=self.ended)
        self.epoch = Epoch(plan, self.session.executor, self.options, self.counters, limit=10)
        return self.epoch

    def end_under_way(self) -> None:
        epoch, self.epoch = self.epoch, None
        if epoch is not None:
            if epoch.is_delivered:
                epoch.becomes("complete")
            epoch.becomes("end")
            self.ended += 1

    def forget(self) -> None:
        super().forget()
        self.epoch = None


@pytest.fixture
def course() -> Course:
    return Course(Answering())


@pytest.fixture
def delivery(course: Course) -> Delivery:
    return Delivery(course)  # type: ignore[arg-type]


def loop(delivery: Delivery) -> EpochIterator[Any]:
    return EpochIterator(delivery, *delivery.begin_loop())


def stream(delivery: Delivery) -> StreamIterator[Any]:
    return StreamIterator(delivery, *delivery.join_stream())


def test_a_loop_gets_the_batches_in_order_and_its_end(course, delivery):
    iterator = loop(delivery)

    assert [*iterator] == [("batch", 0), ("batch", 1), ("batch", 2)]
    assert iterator.epoch.state is EpochState.COMPLETE
    assert course.ended == 1
    assert course.counters.delivered == 3
    assert [*iterator] == []


def test_a_stream_goes_on_over_epochs(course, delivery):
    batches = stream(delivery)

    assert [next(batches)[1] for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert course.ended == 2


def test_what_was_shown_is_delivered_to_whoever_comes_next(course, delivery):
    assert delivery.peek() == ("batch", 0)
    assert course.epoch.state is EpochState.SHOWN
    epoch = course.epoch

    assert [*loop(delivery)] == [("batch", 0), ("batch", 1), ("batch", 2)]
    assert epoch.state is EpochState.COMPLETE
    assert course.counters.delivered == 3


def test_a_later_loop_makes_the_earlier_stale(delivery):
    earlier = loop(delivery)
    next(earlier)
    loop(delivery)

    with pytest.raises(RuntimeError, match="stale"):
        next(earlier)


def test_a_loop_makes_a_stream_stale(delivery):
    batches = stream(delivery)
    next(batches)
    loop(delivery)

    with pytest.raises(RuntimeError, match="stale"):
        next(batches)


def test_after_a_stop_a_loop_says_so_and_a_stream_ends(course, delivery):
    iterator = loop(delivery)
    next(iterator)
    course.session.stop(None)
    with pytest.raises(EnqueuerStopped):
        next(iterator)

    batches = stream(delivery)
    next(batches)
    course.session.stop(None)
    assert [*batches] == []


def test_a_stream_of_nothing_is_an_error(course, delivery):
    course.length = 0

    with pytest.raises(ValueError, match="found nothing in epoch 0"):
        next(stream(delivery))
    assert not course.session.is_running


def test_a_batch_that_was_found_and_not_taken_is_found_again(delivery):
    iterator = loop(delivery)
    found = delivery.next_of_epoch(iterator)  # and its thread never comes back

    assert next(iterator) == ("batch", 0)
    assert found.batch is None
    assert [*iterator] == [("batch", 1), ("batch", 2)]


def test_a_look_at_the_next_batch_delivers_nothing_and_ends_nothing(course, delivery):
    iterator = loop(delivery)
    seen = []
    while iterator.has_next():
        assert iterator.has_next()
        seen.append(next(iterator))

    assert seen == [("batch", 0), ("batch", 1), ("batch", 2)]
    assert course.ended == 0
    assert course.counters.delivered == 3
    assert [*iterator] == []
    assert course.ended == 1
    assert not iterator.has_next()


def test_a_look_by_a_stale_iterator_says_so(delivery):
    earlier = loop(delivery)
    next(earlier)
    loop(delivery)

    with pytest.raises(RuntimeError, match="stale"):
        earlier.has_next()


def test_a_batch_is_here_once_it_is_answered_and_looking_delivers_nothing(course, delivery):
    iterator = loop(delivery)
    course.epoch.fill()
    course.session.executor.tickets, held = [], course.session.executor.tickets
    assert not iterator.next_is_here()

    course.session.executor.tickets = held
    seen = []
    while iterator.next_is_here():
        assert iterator.next_is_here()
        assert iterator.position == len(seen)
        seen.append(next(iterator))

    assert seen == [("batch", 0), ("batch", 1), ("batch", 2)]
    assert course.ended == 0
    assert [*iterator] == []
    assert not iterator.next_is_here()


def test_what_was_taken_ahead_of_the_user_is_not_delivered_until_he_has_it(course, delivery):
    iterator = loop(delivery)
    reached = [1]
    iterator.take_ahead_of(reached.pop)
    epoch = course.epoch
    for _ in range(3):
        next(iterator)

    assert epoch.handovers.delivered == 1
    assert epoch.handovers.next_position == iterator.position == 3
    reached.append(2)
    assert not epoch.is_delivered
    reached.append(None)
    assert epoch.is_delivered


def test_an_epoch_that_ends_with_batches_taken_ahead_stands_where_the_user_does(delivery):
    iterator = loop(delivery)
    iterator.take_ahead_of(lambda: 1)
    next(iterator), next(iterator)

    iterator.epoch.handovers.clear()

    assert iterator.epoch.handovers.delivered == 1
    assert iterator.epoch.handovers.ahead_of is None


def test_a_batch_that_raised_is_not_here_and_raises_for_whoever_asks(course, delivery):
    iterator = loop(delivery)
    iterator.has_next()
    ticket = iterator.epoch.due_ticket()
    iterator.epoch.window.arrived[1] = Raised(ticket._replace(position=1), 0, LookupError("one"))

    assert next(iterator) == ("batch", 0)
    assert not iterator.next_is_here()
    assert course.session.is_running
    with pytest.raises(LookupError, match="one"):
        next(iterator)
