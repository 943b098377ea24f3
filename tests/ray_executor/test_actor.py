"""What an actor does with calls, and what it is sent: without Ray."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest

from seqloader.executors.ray import actor as actor_module
from seqloader.executors.ray.actor import BatchActor
from seqloader.executors.ray.actors import Actor
from seqloader.executors.ray.assignment import Call, Task
from seqloader.randomness.drawn_values import Watch
from seqloader.randomness.seeding import Seeding
from seqloader.testing.sequences import Numbered
from seqloader.tickets import Ticket


@pytest.fixture
def loads(monkeypatch):
    """The references that were loaded."""
    loaded = []

    def load(reference):
        loaded.append(reference)
        return Numbered()

    monkeypatch.setattr(actor_module, "_load", load)
    return loaded


@pytest.fixture
def receiver(loads, monkeypatch):
    """An actor that has loaded version 1, in this process."""
    monkeypatch.setattr(BatchActor, "__init__", lambda self: None)
    made = BatchActor()
    made._computing, made._seeding, made._watch = None, Seeding(0, False), Watch()
    made._version = made._told = made._begun = made._floor = 0
    made._state, made._void, made._pid = [], set(), actor_module.os.getpid()
    made._load(1, ["first"])
    return made


def request(number, version):
    return pickle.dumps((number, [tuple(Ticket(0, number, number))], version))


def test_the_state_is_loaded_with_the_first_call_of_a_version(receiver, loads):
    replies = [
        receiver.compute(request(1, 1), None),
        receiver.compute(request(2, 2), ["second"]),
        receiver.compute(request(3, 2), None),
    ]

    assert all(replies)
    assert loads == ["first", "second"]


def test_a_call_that_is_thrown_away_brings_the_state_all_the_same(receiver, loads):
    receiver.throw_away(2, [])

    assert receiver.compute(request(2, 2), ["second"]) is None
    assert receiver.compute(request(3, 2), None) is not None
    assert loads == ["first", "second"]


def test_no_call_is_computed_with_another_state_than_its_own(receiver, loads):
    # The call that brought the second version never arrived.
    assert receiver.compute(request(3, 2), None) is None
    assert receiver.compute(request(4, 2), ["second"]) is not None
    assert loads == ["first", "second"]


def test_the_state_is_sent_once_for_each_version_and_again_where_it_may_be_lost():
    sent = []
    compute = SimpleNamespace(remote=lambda request, state: sent.append(state))
    ready = SimpleNamespace(remote=lambda version, state: None)
    one = Actor(SimpleNamespace(compute=compute, ready=ready), slot=0)
    call = Call(1, 0, (Task(0, 0, 1, Ticket(0, 0, 0)),), 0.0)

    one.get_ready(1, ["first"])
    for version in (1, 1, 2, 2):
        one.compute(call, version, [version])
    one.is_told = False
    one.compute(call, 2, [2])

    assert sent == [None, None, [2], None, [2]]
