"""Batches taken ahead: seen by the user, it is as if they were not."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest
from adapters.eager import Eager
from adapters.signals_at_returns import interrupted_at_return, read
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupts.arrivals import Arrival, Interrupt

from seqloader import OrderedEnqueuer, Sequence
from seqloader.adapters.passes import Pass
from seqloader.adapters.prefetch import Prefetched
from seqloader.run.iterators import EpochIterator
from seqloader.testing import Gate


class Recorded(Sequence):
    """Batch i of epoch e is [i, e], but for holes, where it is None, and faults, where it raises.

    Keeps a journal of its hooks, and has a state of its own.
    """

    def __init__(self, length=6, holes=(), faults=()):
        self.num_batches = length
        self.holes, self.faults = holes, faults
        self.journal = []
        self.ended = 0

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        if index in self.faults:
            raise LookupError(index)
        return None if index in self.holes else np.array([index, self.ended])

    def on_epoch_begin(self):
        self.journal.append("begin")

    def on_epoch_end(self):
        self.journal.append("end")
        self.ended += 1

    def state_dict(self):
        return {"ended": self.ended}

    def load_state_dict(self, state):
        self.ended = state["ended"]


def passing(enqueuer, ahead=2, prepare=np.copy):
    return Prefetched(enqueuer, ahead, lambda batch, padding: prepare(batch))


@pytest.fixture
def make():
    made = []

    def make(sequence, **options):
        options = {"executor": Eager(), **options}
        made.append(OrderedEnqueuer(sequence, **options))
        return made[-1]

    yield make
    while made:
        made.pop().__exit__(AssertionError, None, None)


# --- as without ---------------------------------------------------------------------------

ACTS = st.sampled_from(
    ["next"] * 8 + ["iter", "save", "load", "first", "skip", "stop", "join", "seek"]
)


class Walk:
    """What one who asks for batches sees; `passes` makes what he iterates over."""

    def __init__(self, sequence, executor, passes, **options):
        self.sequence = sequence
        self.enqueuer = OrderedEnqueuer(sequence, executor=executor, seed=1, **options)
        self._passes = passes
        self._iterator = None
        self._states = [self.enqueuer.state_dict()]

    def do(self, act):
        try:
            return getattr(self, act)()
        except Exception as error:
            return type(error).__name__

    def iter(self):
        self._iterator = None

    def next(self):
        if self._iterator is None:
            self._iterator = self._passes(self.enqueuer)
        return next(self._iterator).tolist()

    def save(self):
        self._states.append(self.enqueuer.state_dict())

    def load(self):
        self.enqueuer.load_state_dict(self._states[-1])

    def first(self):
        self.enqueuer.load_state_dict(self._states[0])

    def skip(self):
        """Something that is far from having been taken."""
        here = self.enqueuer.state_dict()
        self.enqueuer.skip([here["position"] + 4])

    def stop(self):
        self.enqueuer.stop()

    def join(self):
        self.enqueuer.join_end_of_epoch()

    def seek(self):
        self.enqueuer.seek(self.enqueuer.epoch, 1)


def walked(acts, ahead, arrivals, *sequence, **options):
    """Walk with and without prefetch; after each act, both have seen the same."""
    some = Eager(lambda: arrivals.randint(0, 3))
    alone = Walk(Recorded(*sequence), Eager(lambda: 0), iter, **options)
    prefetched = Walk(Recorded(*sequence), some, lambda e: passing(e, ahead), **options)
    for number, act in enumerate(acts):
        assert prefetched.do(act) == alone.do(act), f"{act}, number {number}"
        assert prefetched.sequence.journal == alone.sequence.journal
        prefetched.enqueuer._run.check()
        yield prefetched.enqueuer, alone.enqueuer


@settings(max_examples=100, deadline=None)
@given(
    acts=st.lists(ACTS, min_size=1, max_size=30),
    length=st.sampled_from([0, 1, 2, 3, 6, 9, None]),
    fault=st.none() | st.integers(0, 8),
    on_error=st.sampled_from(["raise", "skip"]),
    ahead=st.integers(0, 4),
    arrivals=st.randoms(use_true_random=False),
)
@pytest.mark.filterwarnings("ignore::seqloader.SeqloaderWarning")
def test_whatever_the_user_does_he_sees_what_the_enqueuer_alone_would_show(
    acts, length, fault, on_error, ahead, arrivals
):
    for prefetched, alone in walked(acts, ahead, arrivals, length, (), [fault], on_error=on_error):
        assert prefetched.state_dict() == alone.state_dict()


@settings(max_examples=30, deadline=None)
@given(
    acts=st.lists(st.sampled_from(["next"] * 5 + ["iter", "load", "save"]), max_size=30),
    length=st.integers(0, 6),
    holes=st.sets(st.integers(0, 5)),
    ahead=st.integers(0, 3),
    arrivals=st.randoms(use_true_random=False),
)
def test_batches_that_are_none_are_passed_over_as_without(acts, length, holes, ahead, arrivals):
    # A state may name the batch after them, where it was looked whether there is one.
    for _ in walked(acts, ahead, arrivals, length, holes):
        pass


# --- what is taken, and when --------------------------------------------------------------


def test_nothing_begins_before_a_batch_is_asked_for(make):
    enqueuer = make(Recorded())
    passing(enqueuer), passing(enqueuer)

    assert not enqueuer.is_running()
    assert enqueuer.sequence.journal == []


@pytest.mark.parametrize("ahead", [0, 1, 3, 10])
def test_as_many_are_prepared_ahead_as_was_said_and_the_epoch_is_not_ended(make, ahead):
    prepared = []
    enqueuer = make(Recorded(6), max_queue_size=20)
    batches = passing(enqueuer, ahead, lambda batch: prepared.append(batch) or batch)

    for got in range(1, 7):
        next(batches)
        assert len(prepared) == min(got + ahead, 6)
    assert enqueuer.sequence.journal == ["begin"]

    assert list(batches) == []
    assert enqueuer.sequence.journal == ["begin", "end"]
    assert list(batches) == []


def test_nobody_waits_for_a_batch_that_is_only_to_be_taken_ahead(tmp_path):
    gate = Gate(tmp_path)

    class Held(Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index == 1:
                gate.pass_through(index)
            return np.array([index])

    with OrderedEnqueuer(Held(), workers=1) as enqueuer:
        batches = passing(enqueuer)
        assert next(batches) == [0]  # the next one is held
        gate.open()
        assert [int(batch[0]) for batch in batches] == [1, 2]


def test_a_batch_is_let_go_when_it_is_prepared_and_an_item_when_it_is_handed_out(make):
    class Item:
        pass

    alive = weakref.WeakSet()

    def prepare(batch):
        item = Item()
        alive.add(item)
        return item

    enqueuer = make(Recorded())
    batches = passing(enqueuer, 2, prepare)
    item = next(batches)
    assert len(alive) == 3

    del item
    assert len(alive) == 2
    assert all(entry.batch is None for entry in batches._entries)


def test_a_pass_that_has_ended_is_no_garbage_of_its_own(make):
    batches = passing(make(Recorded()))
    assert len(list(batches)) == 6
    gone = weakref.ref(batches._entries)
    gc.disable()
    try:
        del batches
        assert gone() is None
    finally:
        gc.enable()


# --- errors -------------------------------------------------------------------------------


def test_the_error_of_a_batch_comes_in_its_place(make):
    batches = passing(make(Recorded(faults=[3])))

    assert [int(next(batches)[0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError, match="3"):
        next(batches)


def test_what_preparing_raises_comes_in_the_place_of_the_batch_which_is_tried_again(make):
    fails = True

    def prepare(batch):
        if fails and batch[0] == 2:
            raise ValueError("no such dtype")
        return batch

    enqueuer = make(Recorded())
    batches = passing(enqueuer, 2, prepare)
    assert [int(next(batches)[0]) for _ in range(2)] == [0, 1]
    for _ in range(2):
        with pytest.raises(ValueError, match="no such dtype"):
            next(batches)
        assert enqueuer.state_dict()["position"] == 2

    fails = False
    assert [int(batch[0]) for batch in batches] == [2, 3, 4, 5]


# --- interrupts ---------------------------------------------------------------------------


def interrupted(arrival: Arrival) -> Any:
    """Two epochs, the first left early. Batches that came, and the states after each call."""
    enqueuer: Any = OrderedEnqueuer(Recorded(5), executor=Eager(), max_queue_size=4)
    epochs: list[list[int]] = []
    for wanted in (3, 6):
        batches = passing(enqueuer)
        epochs.append([])
        for _ in range(wanted):
            for attempt in range(2):
                try:
                    got = arrival.call(next, batches, None)
                except Interrupt:
                    assert attempt == 0
                    if not enqueuer.is_running():
                        return "stopped"
                    if (state := enqueuer.state_dict())["epoch"] == len(epochs) - 1:
                        assert state["position"] == len(epochs[-1])
                    continue
                break
            if got is not None:
                epochs[-1].append(int(got[0]))
                assert enqueuer.state_dict()["position"] == len(epochs[-1])
    assert epochs == [[0, 1, 2], [0, 1, 2, 3, 4]]
    enqueuer.stop()
    return "went on"


@pytest.mark.limit(120)
def test_an_interrupt_at_any_point_of_a_call_loses_and_doubles_nothing():
    interrupted(Arrival())
    counting = Arrival()
    interrupted(counting)
    points = counting.points()
    assert any(point.file.endswith("prefetch.py") for point in counting.passed)

    own = [
        (call, at)
        for (call, at), point in zip(points, counting.passed, strict=True)
        if point.file.endswith("prefetch.py")
    ]
    others = random.Random(4).sample(points, 60)

    outcomes = [interrupted(Arrival(at, within=call)) for call, at in [*own, *others]]

    assert "went on" in outcomes


@pytest.mark.parametrize("make_pass", [passing, Pass])
@pytest.mark.parametrize("returned", range(1, 6))
def test_a_signal_that_comes_while_the_enqueuer_returns_a_batch_loses_and_doubles_nothing(
    make, returned, make_pass
):
    enqueuer, got = make(Recorded(5)), []
    batches = make_pass(enqueuer)
    with interrupted_at_return(returned, EpochIterator.__next__, EpochIterator.find):
        read(batches, got)

    assert enqueuer.state_dict()["position"] == len(got)
    read(batches, got)
    assert [int(batch[0]) for batch in got] == [0, 1, 2, 3, 4]


def test_a_batch_whose_taking_was_interrupted_is_still_known_as_padding(monkeypatch):
    real, left = EpochIterator.padding, [1]

    def padding(iterator):
        if iterator.last_position == 1 and left:
            left.pop()
            raise Interrupt  # as a signal would, right after the batch was taken
        return real.fget(iterator)

    monkeypatch.setattr(EpochIterator, "padding", property(padding))
    with OrderedEnqueuer(Recorded(3), workers=0, shard=(1, 2), remainder="pad") as enqueuer:
        noted = []
        batches = Prefetched(enqueuer, 0, lambda batch, padding: noted.append(padding) or batch)
        next(batches)
        with pytest.raises(Interrupt):
            next(batches)

        assert next(batches)[0] == 0
        assert noted == [False, True]


def test_who_drops_a_pass_and_its_enqueuer_waits_for_no_garbage_collection():
    gc.disable()
    try:
        enqueuer = OrderedEnqueuer(Recorded(), workers=0)
        gone = weakref.ref(enqueuer)
        batches = passing(enqueuer)
        next(batches)
        del batches, enqueuer
        assert gone() is None
    finally:
        gc.enable()
