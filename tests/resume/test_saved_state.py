"""What a saved state says, at which moments it can be had, and which are refused."""

from __future__ import annotations

import json
import random
import signal
import threading

import pytest
from resumed_sequences import Counting, Drawing, Indices, Saving, Shuffling

from seqloader import (
    BatchedSequence,
    OrderedEnqueuer,
    ResumeError,
    SeqloaderWarning,
    Sequence,
    batch_context,
)
from seqloader.testing import Gate


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


# What it says


@pytest.mark.parametrize("length", [0, 10, 10**18])
def test_state_is_plain_and_small_whatever_the_length(make, length):
    enqueuer = make(Indices(length), shuffle=True, seed=2**63)
    enqueuer.seek(10**6, length // 2)

    text = json.dumps(enqueuer.state_dict())

    assert len(text) < 1000
    assert json.loads(text) == enqueuer.state_dict()


def test_what_is_in_flight_does_not_count(make):
    enqueuer = make(Indices(20), workers=2)
    iterator = iter(enqueuer)

    assert enqueuer.state_dict()["position"] == 0
    assert take(iterator, 3) == [0, 1, 2]
    assert enqueuer.peek() == 3
    assert enqueuer.state_dict()["position"] == 3
    assert next(iterator) == 3
    assert enqueuer.state_dict()["position"] == 4


def test_state_names_the_next_epoch_only_once_the_last_has_ended(make):
    enqueuer = make(Indices(3))
    iterator = iter(enqueuer)
    take(iterator, 3)

    before = enqueuer.state_dict()
    assert next(iterator, None) is None
    after = enqueuer.state_dict()

    assert (before["epoch"], before["position"]) == (0, 3)
    assert (after["epoch"], after["position"]) == (1, 0)


def test_state_after_the_last_batch_ends_the_epoch_with_its_hook_when_loaded(make):
    first = make(Saving())
    iterator = iter(first)
    take(iterator, 6)
    state = first.state_dict()
    assert list(iterator) == []
    expected = list(first)

    second = make(Saving())
    second.load_state_dict(state)

    assert list(second) == []  # nothing is left of the epoch; its hook runs
    assert list(second) == expected


def test_skipped_by_errors_is_a_count(make):
    class Faulty(Indices):
        def __getitem__(self, index):
            return index if index % 3 else 1 // 0

    first = make(Faulty(9), on_error="skip")
    with pytest.warns(SeqloaderWarning, match="was skipped"):
        assert take(iter(first), 4) == [1, 2, 4, 5]
    state = first.state_dict()

    second = make(Faulty(9), on_error="skip")
    second.load_state_dict(state)

    assert state["skipped_by_errors"] == second.stats().skipped == 2
    assert second.state_dict() == state


# When it can be had


def test_state_can_be_had_from_another_thread_while_the_consumer_waits(make, tmp_path):
    gate = Gate(tmp_path)
    enqueuer = make(Held(gate), workers=1)
    iterator = iter(enqueuer)
    take(iterator, 2)
    states = []

    def save_and_open():
        gate.wait_arrived(1)
        states.append(enqueuer.state_dict())
        gate.open()

    other = threading.Thread(target=save_and_open)
    other.start()
    rest = list(iterator)
    other.join()

    assert (states[0]["epoch"], states[0]["position"]) == (0, 2)
    assert rest == [2, 3]


def test_state_can_be_had_in_a_signal_handler_during_next(make):
    states = []

    class Signalled(Indices):
        def __getitem__(self, index):
            if index == 2:
                signal.raise_signal(signal.SIGUSR1)
            return index

    enqueuer = make(Signalled(4))
    before = signal.signal(signal.SIGUSR1, lambda *_: states.append(enqueuer.state_dict()))
    try:
        batches = list(enqueuer)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert batches == [0, 1, 2, 3]
    assert states[0]["position"] == 2


@pytest.mark.parametrize("name", ["on_epoch_begin", "on_epoch_end"])
def test_state_taken_inside_a_hook_runs_that_hook_again(make, name):
    class Asking(Saving):
        def state_dict(self):
            return {"order": self.order, "begun": self.begun, "difficulty": self.difficulty}

    def hook():
        states.append(enqueuer.state_dict())
        getattr(Asking, name)(sequence)
        states.append(enqueuer.state_dict())

    states = []
    sequence = Asking()
    enqueuer = make(sequence)
    expected = [list(enqueuer) for _ in range(3)]
    enqueuer = make(sequence := Asking())
    setattr(sequence, name, hook)
    assert [list(enqueuer) for _ in range(3)] == expected

    for state in states[2:4]:  # of the hook's second call
        second = make(Asking())
        second.load_state_dict(state)
        rest = list(second)
        assert rest == ([] if name == "on_epoch_end" else expected[1])
        assert list(second) == expected[2]


def test_state_after_stop_is_where_a_start_goes_on(make):
    enqueuer = make(Indices(9))
    take(iter(enqueuer), 4)
    enqueuer.stop()

    state = enqueuer.state_dict()

    assert (state["epoch"], state["position"]) == (1, 0)
    assert next(iter(enqueuer)) == 0
    assert enqueuer.epoch == 1


# The Sequence's own state


def train(enqueuer, epochs):
    """A training with a callback that changes the Sequence by hand, in the middle of an epoch."""
    while enqueuer.epoch < epochs:
        for batch in enqueuer:
            if enqueuer.state_dict()["position"] == 2:
                enqueuer.sequence.difficulty += 10
                enqueuer.refresh()
            yield batch


@pytest.mark.parametrize("workers", [0, 2])
def test_sequence_with_a_state_goes_on_exactly(make, through_json, workers):
    first = make(Saving(), workers=workers)
    states, batches = [first.state_dict()], []
    for batch in train(first, 3):
        batches.append(batch)
        states.append(first.state_dict())

    for done, state in enumerate(states):
        second = make(Saving(), workers=workers)
        second.load_state_dict(through_json(state))
        assert second.state_dict() == state
        assert list(train(second, 3)) == batches[done:]
        second.stop()


def test_sequence_that_was_asked_for_nothing_yet_begins_its_epoch_as_before(make):
    first = make(Saving())
    iterator = iter(first)
    take(iterator, 2)
    first.sequence.difficulty += 100
    state = first.state_dict()
    rest = list(iterator)

    second = make(Saving())
    second.load_state_dict(state)
    iter(second)  # begun, and begun again before a batch was asked for
    assert second.state_dict() == state

    assert [batch[:2] for batch in second] == [batch[:2] for batch in rest]
    assert next(iter(second)) == next(iter(first))


def test_hooks_without_a_state_warn_once_that_the_order_may_differ(make):
    enqueuer = make(Shuffling())
    state = {**enqueuer.state_dict(), "epoch": 2}

    with pytest.warns(SeqloaderWarning, match="overrides on_epoch_end but has no state_dict"):
        enqueuer.load_state_dict(state)
    enqueuer.load_state_dict(state)


def test_a_hook_added_below_a_saved_state_warns_too(make):
    class Adding(BatchedSequence):
        def on_epoch_end(self):
            random.shuffle(self.source)

    for sequence in (Adding([1, 2, 3], 2), BatchedSequence(Shuffling(), 2)):
        with pytest.warns(SeqloaderWarning, match="overrides on_epoch_end but has no state_dict"):
            make(sequence).seek(1)
    make(BatchedSequence(Saving(), 2)).seek(1)
    make(BatchedSequence([1, 2, 3], 2, shuffle=True)).seek(1)


def test_order_read_from_the_context_needs_no_state(make):
    class FromContext(Indices):
        def __getitem__(self, index):
            return (index * 5 + batch_context().epoch) % 7

    first, second = make(FromContext(7)), make(FromContext(7))
    stream = first.get()
    take(stream, 17)

    second.load_state_dict(first.state_dict())

    assert take(second.get(), 9) == take(stream, 9)


# What does not fit


def state_of(sequence, **options):
    with OrderedEnqueuer(sequence, **{"workers": 0, "seed": 20, **options}) as enqueuer:
        take(enqueuer.get(), 4)
        return enqueuer.state_dict()


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 21}, "seed: 21 in the state, 20 here"),
        ({"version": 99}, "version: the state has form 99"),
        ({"sequence": {"a": 1}}, "the state holds one of the Sequence"),
        ({"fingerprint": {"shuffle": False, "shuffle_version": 1, "length": 9}}, "shuffle: False"),
        ({"fingerprint": {"shuffle": True, "shuffle_version": 9, "length": 9}}, "shuffle version"),
        ({"fingerprint": {"shuffle": True, "shuffle_version": 1, "length": 8}}, "length: 8 batch"),
        ({"fingerprint": {"shuffle": True, "shuffle_version": 1, "length": None}}, "endless"),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_state_that_does_not_fit_is_refused_and_nothing_is_lost(make, workers, change, difference):
    expected = list(make(Indices(9), shuffle=True))
    enqueuer = make(Indices(9), shuffle=True, workers=workers)
    iterator = iter(enqueuer)
    got = take(iterator, 2)
    before = enqueuer.state_dict()

    with pytest.raises(ResumeError, match="does not fit") as caught:
        enqueuer.load_state_dict({**before, **change})

    assert [each for each in caught.value.differences if difference in each]
    assert all(each in str(caught.value) for each in caught.value.differences)
    assert enqueuer.state_dict() == before
    assert got + list(iterator) == expected


def test_all_that_differs_is_named_at_once(make):
    state = state_of(Indices(9), shuffle=True)

    with pytest.raises(ResumeError) as caught:
        make(Indices(7), seed=3).load_state_dict(state)

    assert [each.split(":")[0] for each in caught.value.differences] == [
        "seed",
        "shuffle",
        "length",
    ]


@pytest.mark.parametrize("state", [None, [1], "state"])
def test_what_is_no_dictionary_is_a_type_error(make, state):
    with pytest.raises(TypeError, match="a state is a dictionary"):
        make(Indices(9)).load_state_dict(state)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epoch", -1),
        ("position", "3"),
        ("seed", None),
        ("shard", [2, 2]),
        ("shard", 3),
        ("skipped", [[1]]),
        ("fingerprint", 5),
        ("seeded", 1),
    ],
)
def test_damaged_state_is_refused_by_name(make, key, value):
    state = state_of(Indices(9))

    with pytest.raises(ResumeError, match=f"{key} is "):
        make(Indices(9)).load_state_dict({**state, key: value})


def test_state_without_its_keys_is_refused_by_name(make):
    with pytest.raises(ResumeError, match="no whole state") as caught:
        make(Indices(9)).load_state_dict({"epoch": 1})

    assert "position is missing" in caught.value.differences


def test_sequence_that_refuses_its_state_keeps_the_one_it_had(make):
    class Picky(Saving):
        def load_state_dict(self, state):
            super().load_state_dict(state)
            if self.begun > 1:
                raise KeyError("of another kind")

    enqueuer = make(Picky())
    iterator = iter(enqueuer)
    take(iterator, 2)
    before = enqueuer.state_dict()
    state = {**before, "sequence": {**vars(enqueuer.sequence), "begun": 7}}
    del state["sequence_at_begin"]

    with pytest.raises(KeyError, match="of another kind") as caught:
        enqueuer.load_state_dict(state)

    assert "Picky.load_state_dict" in caught.value.__notes__[0]
    assert enqueuer.state_dict() == before
    assert len(list(iterator)) == 4


def test_length_that_a_hook_sets_is_judged_when_the_epoch_begins(make):
    class SetUp(Indices):
        def on_epoch_begin(self):
            self.length = 9

    state = state_of(Indices(8))
    enqueuer = make(SetUp(0))
    enqueuer.load_state_dict(state)

    with pytest.raises(ResumeError, match="length: 8 batches in the state, 9 batches here"):
        iter(enqueuer)


def test_not_strict_takes_what_can_be_taken_and_says_so(make):
    state = state_of(Indices(9), shuffle=True)
    enqueuer = make(Indices(12), seed=3)

    with pytest.warns(SeqloaderWarning, match="seed: 20 in the state, 3 here; shuffle: True"):
        enqueuer.load_state_dict(state, strict=False)

    assert (enqueuer.seed, enqueuer.epoch) == (3, 0)
    assert list(enqueuer) == [4, 5, 6, 7, 8, 9, 10, 11]


def test_not_strict_position_beyond_the_end_is_the_end(make):
    state = state_of(Indices(9))
    enqueuer = make(Indices(3))

    with pytest.warns(SeqloaderWarning, match="length: 9 batches in the state, 3 batches here"):
        enqueuer.load_state_dict(state, strict=False)

    assert list(enqueuer) == []
    assert list(enqueuer) == [0, 1, 2]


# The seed


@pytest.mark.parametrize("saved", [None, 7])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_enqueuer_without_a_seed_takes_that_of_the_state(make, saved, running, workers):
    first = make(Drawing(), seed=saved, shuffle=True)
    stream = first.get()
    take(stream, 3)
    second = make(Drawing(), seed=None, shuffle=True, workers=workers)
    if running:
        second.start()

    second.load_state_dict(first.state_dict())

    assert second.seed == first.seed
    assert [b["place"] for b in take(second.get(), 9)] == [b["place"] for b in take(stream, 9)]
    assert second.state_dict() == first.state_dict()


def test_stream_goes_on_where_a_state_was_loaded(make):
    enqueuer = make(Indices(5))
    stream = enqueuer.get()
    take(stream, 2)
    state = enqueuer.state_dict()
    take(stream, 6)

    enqueuer.load_state_dict(state)

    assert take(stream, 5) == [2, 3, 4, 0, 1]


def test_iterator_from_before_a_load_is_stale(make):
    enqueuer = make(Indices(5))
    iterator = iter(enqueuer)
    next(iterator)
    enqueuer.load_state_dict(enqueuer.state_dict())

    with pytest.raises(RuntimeError, match=r"stale.*load_state_dict\(\)"):
        next(iterator)


# Endless Sequences


@pytest.mark.parametrize("shards", [1, 3])
def test_endless_sequence_goes_on_without_gap(make, shards):
    ranks = [make(Counting(), shard=(id, shards)) for id in range(shards)]
    seen = []
    for _ in range(2):  # two loops left early: two epochs
        iterators = [iter(rank) for rank in ranks]
        seen += [next(each) for _ in range(4) for each in iterators]
    states = [rank.state_dict() for rank in ranks]

    others = [make(Counting(), shard=(id, 2)) for id in range(2)]
    for rank in others:
        rank.load_state_dict(states[0])
    iterators = [iter(rank) for rank in others]
    seen += [next(each) for _ in range(5) for each in iterators]

    assert seen == list(range(len(seen)))


class Held(Sequence):
    """Its third batch waits for a gate."""

    def __init__(self, gate):
        self.gate = gate

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            self.gate.pass_through(index)
        return index
