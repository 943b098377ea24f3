"""What the dispatcher makes of everything that Ray may answer: actors here are stand-ins."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from seqloader import WorkerStartError
from seqloader.executors.process.wire import failures
from seqloader.executors.ray.dispatcher import Dispatcher
from seqloader.executors.ray.exchange import Event, Exchange
from seqloader.executors.ray.records import COMPUTED, FAILED, RAISED, READY
from seqloader.executors.ray.troupe import FAILED_STARTS, Troupe
from seqloader.executors.ray.verdicts import TABLE
from seqloader.testing import DEADLINE_S
from seqloader.tickets import Death, Lost, Raised, Shortage, Ticket


class RayError(Exception):
    """As Ray's; with `cause` and `preempted` as those have them."""

    def __init__(self, text="Ray's words", **fields):
        super().__init__(text)
        self.__dict__.update(fields)


class RayTaskError(RayError):
    pass


ERRORS = {name: type(name, (RayError,), {}) for name in TABLE if name != "RayError"}
ERRORS["RayTaskError"] = RayTaskError


@pytest.fixture(autouse=True)
def ray(monkeypatch):
    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    stand_in = SimpleNamespace(
        is_initialized=lambda: True,
        exceptions=exceptions,
        cluster_resources=lambda: {"CPU": 2.0, "memory": 3 << 30},
        available_resources=lambda: {"CPU": 1.0},
    )
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    return stand_in


class Reference:
    def __init__(self):
        self._future = Future()

    def future(self):
        return self._future

    def set(self, answer):
        if isinstance(answer, BaseException):
            self._future.set_exception(answer)
        else:
            self._future.set_result(answer)


class StandIn:
    """An actor whose answers the test gives."""

    def __init__(self, slot):
        self.slot, self.is_ready, self.pid, self.host, self.version = slot, False, 0, "", 0
        self.killed, self.is_told = False, True
        self.first = Reference()
        self.calls = []
        self.told = []
        """Whether each call came with the state."""
        self.recalled = []

    def get_ready(self, version, state):
        self.version = version
        return self.first

    def compute(self, call, version, state):
        self.told.append(version != self.version or not self.is_told)
        self.version, self.is_told = version, True
        self.calls.append((call, Reference()))
        return self.calls[-1][1]

    def recall(self, calls):
        self.recalled.append(([call.number for call in calls], Reference()))
        return self.recalled[-1][1]

    def throw_away(self, up_to):
        for call, reference in self.calls:
            if call.number <= up_to and call is not self.calls[0][0]:
                reference.set(None)

    def kill(self):
        self.killed = True

    def become_ready(self):
        self.first.set((READY, 1000 + self.slot, "host"))

    def answer(self, **fault):
        """Its oldest call: with batches, or with what is given."""
        call, reference = self.calls.pop(0)
        if fault:
            reference.set(fault["fault"])
            return
        answers = [(COMPUTED, 0.1, 8, b"", []) for _ in call.tasks]
        reference.set((answers, []))


class Stage:
    """A dispatcher over stand-ins, and what it has told."""

    def __init__(self, workers=2, timeout_s=None, start_timeout_s=60.0):
        self.actors = []
        self.exchange = Exchange()
        factory = SimpleNamespace(
            make=self.make, wanted=SimpleNamespace(described=lambda: "900 CPU")
        )
        troupe = Troupe(workers, start_timeout_s, time.monotonic())
        self.dispatcher = Dispatcher(
            self.exchange, factory, troupe, (1, []), timeout_s=timeout_s, copies=None, window=0
        )
        self.thread = self.dispatcher.begin()

    def make(self, slot):
        self.actors.append(StandIn(slot))
        return self.actors[-1]

    def submit(self, *positions):
        for position in positions:
            self.exchange.post(Event.SUBMIT, Ticket(0, position, 100 + position))

    def told(self, count):
        self.until(lambda: len(self.exchange.box) >= count)
        return [self.exchange.box.popleft() for _ in range(count)]

    def until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            assert self.exchange.failure is None, self.exchange.failure
            time.sleep(0.001)

    def failure(self):
        deadline = time.monotonic() + DEADLINE_S
        while self.exchange.failure is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return self.exchange.failure

    def end(self):
        self.exchange.end()
        self.thread.join(DEADLINE_S)
        assert self.exchange.left
        assert not self.thread.is_alive()


@pytest.fixture
def stage():
    made = []

    def stage(**options):
        made.append(Stage(**options))
        return made[-1]

    yield stage
    for one in made:
        one.end()


@pytest.fixture
def one(stage):
    """One actor, which is ready and has two calls."""
    made = stage(workers=1)
    made.actors[0].become_ready()
    made.submit(0, 1)
    made.until(lambda: len(made.actors[0].calls) == 2)
    return made


def positions(told):
    return [outcome.ticket.position for outcome in told]


def test_no_ticket_goes_to_an_actor_that_has_not_said_it_is_ready(stage):
    made = stage()
    made.submit(0, 1, 2, 3)
    made.actors[1].become_ready()
    made.until(lambda: len(made.actors[1].calls) == 2)

    assert made.actors[0].calls == []
    made.actors[0].become_ready()
    made.until(lambda: len(made.actors[0].calls) == 2)


def test_answers_are_told(one):
    one.actors[0].answer()
    one.actors[0].answer()

    assert positions(one.told(2)) == [0, 1]


def test_a_call_that_its_actor_has_thrown_away_is_sent_again_with_the_state(one):
    first = one.actors[0]
    first.answer(fault=None)
    first.answer()

    one.until(lambda: first.calls)
    assert first.calls[0][0].since <= time.monotonic()  # it has no time to load what it has
    first.answer()

    assert sorted(positions(one.told(2))) == [0, 1]
    assert first.told == [False, False, True]


@pytest.mark.parametrize(
    "name", ["ActorDiedError", "OutOfMemoryError", "NodeDiedError", "WorkerCrashedError"]
)
def test_an_actor_that_ended_is_replaced_and_the_ticket_that_it_had_is_lost(one, name):
    first = one.actors[0]
    first.answer()
    one.told(1)

    first.answer(fault=ERRORS[name]("The actor is dead because it was shot. More."))

    (lost,) = one.told(1)
    assert isinstance(lost, Lost)
    assert positions([lost]) == [1]
    assert lost.death.said == "on host: The actor is dead because it was shot. More."
    assert lost.death.for_memory == (name == "OutOfMemoryError")
    assert first.killed
    one.until(lambda: len(one.actors) == 2)


def test_of_an_actor_that_had_several_each_is_tried_alone_before_one_is_lost(one):
    one.actors[0].answer(fault=ERRORS["ActorDiedError"]())
    (death,) = one.told(1)
    assert isinstance(death, Death)
    one.until(lambda: len(one.actors) == 2)
    second = one.actors[1]
    second.become_ready()
    one.until(lambda: second.calls)
    assert len(second.calls) == 1

    second.answer()
    one.until(lambda: second.calls)
    second.answer(fault=ERRORS["ActorDiedError"]())

    told = one.told(2)
    assert positions(told) == [0, 1]
    assert isinstance(told[1], Lost)


@pytest.mark.parametrize(
    "error",
    [
        ERRORS["ActorDiedError"](preempted=True),
        ERRORS["ActorUnavailableError"](),
        RayTaskError(cause=ERRORS["ObjectLostError"]()),  # it could not get the state
    ],
    ids=["preempted", "unavailable", "no-state"],
)
def test_what_is_nobodys_fault_is_counted_on_nobody(one, error):
    one.actors[0].answer(fault=error)

    (death,) = one.told(1)
    assert isinstance(death, Death)
    one.until(lambda: len(one.actors) == 2)
    one.actors[1].become_ready()
    one.until(lambda: len(one.actors[1].calls) == 2)
    one.actors[1].answer()
    one.actors[1].answer()
    assert positions(one.told(2)) == [0, 1]


@pytest.mark.parametrize(
    "name", ["ObjectLostError", "ObjectReconstructionFailedError", "TaskCancelledError"]
)
def test_an_answer_that_is_lost_is_asked_for_again_and_the_actor_lives(one, name):
    actor = one.actors[0]

    actor.answer(fault=ERRORS[name]())
    one.until(lambda: len(actor.calls) == 2)
    actor.answer()
    actor.answer()

    assert sorted(positions(one.told(2))) == [0, 1]
    assert not actor.killed
    assert len(one.actors) == 1


def test_a_batch_that_cannot_be_stored_is_raised_in_its_place(one):
    error = ERRORS["ObjectStoreFullError"]("no room")

    one.actors[0].answer(fault=error)

    (raised,) = one.told(1)
    assert isinstance(raised, Raised)
    assert (raised.ticket.position, raised.error) == (0, error)
    assert not one.actors[0].killed


def test_what_the_sequence_raised_comes_with_its_type(one):
    call, reference = one.actors[0].calls[0]
    reference.set(([(RAISED, 0.1, failures.pack(KeyError("x")))], []))

    (raised,) = one.told(1)

    assert isinstance(raised.error, KeyError)
    assert (raised.slot, raised.pid, call.tasks[0].position) == (0, 1000, 0)


def test_what_ray_cannot_do_ends_it_with_rays_words(one):
    one.actors[0].answer(fault=ERRORS["AuthenticationError"]("no token"))

    failure = one.failure()

    assert isinstance(failure, WorkerStartError)
    assert "no token" in str(failure)
    assert one.actors[0].killed


def test_a_sequence_that_cannot_be_loaded_ends_it_with_the_cause(stage):
    made = stage()
    cause = ModuleNotFoundError("No module named 'theirs'")

    made.actors[0].first.set((FAILED, failures.pack(cause)))

    failure = made.failure()
    assert "ModuleNotFoundError: No module named 'theirs'" in str(failure)
    assert isinstance(failure.__cause__, ModuleNotFoundError)


def test_actors_that_end_before_they_are_ready_end_it_after_several(stage):
    made = stage(workers=1)
    for number in range(FAILED_STARTS):
        made.until(lambda number=number: len(made.actors) > number)
        made.actors[number].first.set(ERRORS["ActorDiedError"]("it never lived"))

    failure = made.failure()

    assert "it never lived" in str(failure)


def test_with_nobody_ready_in_time_it_says_what_was_asked_and_what_there_is(stage):
    made = stage(start_timeout_s=0.05)

    failure = made.failure()

    assert "Each asks for 900 CPU; the cluster has 2 CPU, 3.0 GiB memory in all" in str(failure)
    assert "1 CPU of that is free" in str(failure)


def test_a_second_kill_for_memory_is_answered_by_one_actor_fewer(stage):
    made = stage(workers=3)
    for actor in made.actors:
        actor.become_ready()
    made.submit(0, 1, 2)
    made.until(lambda: all(actor.calls for actor in made.actors))

    made.actors[0].answer(fault=ERRORS["OutOfMemoryError"]())
    made.until(lambda: len(made.actors) == 4)
    made.actors[1].answer(fault=ERRORS["OutOfMemoryError"]())

    told = made.told(3)
    assert [type(one) for one in told] == [Lost, Lost, Shortage]
    assert (told[2].workers, told[2].wanted) == (1, 3)
    assert [one.death.replaced for one in told[:2]] == [True, False]


def test_a_call_that_runs_longer_than_it_may_is_ended(stage):
    made = stage(workers=1, timeout_s=0.05)
    made.actors[0].become_ready()
    made.submit(0)

    (lost,) = made.told(1)

    assert lost.death.reason == "timeout"
    assert made.actors[0].killed


def test_what_is_queued_behind_a_long_call_goes_to_another_once_it_is_recalled(stage):
    made = stage()
    busy, other = made.actors
    busy.become_ready()
    made.submit(0, 1, 2, 3)
    made.until(lambda: len(busy.calls) == 2)
    other.become_ready()
    made.until(lambda: len(other.calls) == 2)
    other.answer()
    other.answer()
    made.until(lambda: busy.recalled)

    (number,), reference = busy.recalled[0]
    assert number == busy.calls[1][0].number
    assert other.calls == []
    reference.set([number])
    made.until(lambda: len(other.calls) == 1)
    assert other.calls[0][0].tasks[0].position == busy.calls[1][0].tasks[0].position


def test_after_a_discard_it_settles_when_nothing_is_computed(one):
    from collections import deque

    one.exchange.box = deque()
    one.exchange.post(Event.DISCARD, 7, one.exchange.box)
    one.submit(9)
    actor = one.actors[0]
    one.until(lambda: actor.calls[1][1].future().done())  # what was queued is thrown away
    assert one.exchange.settled == 0

    del actor.calls[1]
    actor.answer()

    one.until(lambda: one.exchange.settled == 7)
    one.until(lambda: actor.calls)
    actor.answer()
    assert positions(one.told(1)) == [9]


def test_a_reset_kills_those_that_compute_and_nobody_hears_of_it(one):
    one.exchange.post(Event.RESET, 1, one.exchange.box)

    one.until(lambda: one.exchange.settled == 1)
    one.until(lambda: len(one.actors) == 2)

    assert one.actors[0].killed
    assert not one.exchange.box


def test_more_are_asked_for_and_those_too_many_leave_after_their_call(stage):
    made = stage(workers=1)
    made.exchange.post(Event.RESIZE, 3, 20)
    made.until(lambda: len(made.actors) == 3)
    for actor in made.actors:
        actor.become_ready()
    made.submit(0, 1, 2)
    made.until(lambda: all(actor.calls for actor in made.actors))

    made.exchange.post(Event.RESIZE, 1, 20)
    for actor in made.actors:
        actor.answer()

    assert sorted(positions(made.told(3))) == [0, 1, 2]
    made.until(lambda: [actor.killed for actor in made.actors] == [False, True, True])


def test_ray_that_was_shut_down_is_said_to_be(one, ray):
    ray.is_initialized = lambda: False
    one.submit(5)

    assert "Ray was shut down" in str(one.failure())


def test_at_the_end_all_are_killed(stage):
    made = stage(workers=3)

    made.end()

    assert all(actor.killed for actor in made.actors)
