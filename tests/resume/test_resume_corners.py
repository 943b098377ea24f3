"""Where resume is easily a little wrong: found by review, and kept."""

from __future__ import annotations

import itertools
import threading

import pytest
from resumed_sequences import Counting, Indices, Saving, Shuffling

from seqloader import OrderedEnqueuer, ResumeError, SeqloaderWarning
from seqloader.testing import Gate


def take(iterator, count):
    return list(itertools.islice(iterator, count))


class Adjusted(Indices):
    """Its hook adds one batch to each epoch."""

    def on_epoch_begin(self):
        self.length += 1

    def state_dict(self):
        return {"length": self.length}

    def load_state_dict(self, state):
        self.length = state["length"]


class Levelled(Saving):
    """Its hook is undone by hand, so that its state is the same before and after."""

    def __getitem__(self, index):
        return index, self.begun

    def on_epoch_end(self):
        pass


# Lengths


def test_length_that_the_hook_changes_is_not_held_against_a_state_between_epochs(make):
    first = make(Adjusted(3))
    states = [first.state_dict()]
    for _ in range(2):
        list(first)
        states.append(first.state_dict())

    for epoch, state in enumerate(states):
        second = make(Adjusted(3))
        second.load_state_dict(state)
        assert list(second) == list(range(4 + epoch))


def test_refusal_at_the_beginning_of_the_epoch_is_not_forgotten(make):
    first = make(Adjusted(3))
    take(iter(first), 1)
    state = {**first.state_dict(), "sequence_at_begin": {"length": 5}}
    second = make(Adjusted(3))
    second.load_state_dict(state)

    for _ in range(2):
        with pytest.raises(ResumeError, match="length: 4 batches in the state, 6 batches here"):
            iter(second)
    second.seek(0, 1)

    assert list(second) == [1, 2, 3, 4]


def test_own_state_after_a_lenient_load_fits(make):
    first = make(Indices(9))
    take(iter(first), 4)
    second = make(Indices(12))
    with pytest.warns(SeqloaderWarning, match="length"):
        second.load_state_dict(first.state_dict(), strict=False)

    second.load_state_dict(second.state_dict())

    assert list(second) == list(range(4, 12))


# Shards at the end of an epoch


def ranks_with(make, count, state=None, **options):
    ranks = [make(Indices(10), shard=(id, count), **options) for id in range(count)]
    for rank in ranks:
        if state is not None:
            rank.load_state_dict(state)
    return ranks


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_state_of_a_rank_with_one_batch_more_fits_the_others(make, steps):
    saved = ranks_with(make, 4, remainder="uneven")
    for rank in saved:
        take(iter(rank), steps)

    loaded = ranks_with(make, 4, saved[0].state_dict(), remainder="uneven")

    assert [[*rank] for rank in loaded] == [[*range(id, 10, 4)][steps:] for id in range(4)]
    assert [next(iter(rank)) for rank in loaded] == [0, 1, 2, 3]


def test_shard_that_gets_nothing_of_the_rest_goes_on_with_the_next_epoch(make):
    saved = ranks_with(make, 3, remainder="uneven")
    for rank in saved:
        take(iter(rank), 3)

    loaded = ranks_with(make, 2, saved[0].state_dict(), remainder="uneven")

    streams = [rank.get() for rank in loaded]
    assert next(streams[1]) == 1  # 9, the last of the epoch, is the other one's
    assert take(streams[0], 2) == [9, 0]


def test_seek_within_an_epoch_that_was_dealt_out_anew_counts_its_positions(make):
    saved = ranks_with(make, 2)
    for rank in saved:
        take(iter(rank), 2)
    (rank,) = ranks_with(make, 1, saved[0].state_dict())
    took = take(iter(rank), 3)
    state = rank.state_dict()

    rank.seek(0, 1)
    assert [took[0], *rank] == list(range(4, 10))
    rank.seek(state["epoch"], 0)
    assert list(rank) == list(range(10))


# Skips


@pytest.mark.parametrize("options", [{"executor": "thread"}, {}])
def test_skipping_one_by_one_keeps_the_window_bounded(make, tmp_path, options):
    gate = Gate(tmp_path)

    class Held(Indices):
        def __getitem__(self, index):
            if index:
                gate.pass_through(index)
            return index

    enqueuer = make(Held(500), workers=2, max_queue_size=3, **options)
    iterator = iter(enqueuer)
    take(iterator, 1)

    for position in range(1, 401):
        enqueuer.skip([position])

    assert enqueuer.stats().in_flight <= 4
    gate.open()
    assert list(iterator) == list(range(401, 500))
    assert len(gate.arrived()) < 120  # 99, and a few that were in work when they were skipped


def test_skip_in_a_later_epoch_of_an_endless_sequence_is_refused(make):
    enqueuer = make(Counting())
    enqueuer.skip([1])

    with pytest.raises(ValueError, match="its positions mean nothing yet"):
        enqueuer.skip([1], epoch=2)

    assert take(iter(enqueuer), 3) == [0, 2, 3]


def test_skip_that_leaves_no_even_rest_of_a_later_epoch_is_refused_at_the_load(make):
    saved = make(Indices(12), shard=(0, 2))
    saved.skip([1], epoch=3)
    state = saved.state_dict()

    with pytest.raises(ValueError, match="10 batches cannot be dealt out evenly to 3 shards"):
        make(Indices(12), shard=(0, 3)).load_state_dict(state)


# The Sequence's own state


def test_hand_change_between_a_load_and_the_epoch_is_kept(make):
    first = make(Saving())
    iterator = iter(first)
    take(iterator, 2)
    state = first.state_dict()
    first.sequence.difficulty = 50
    rest, following = list(iterator), list(first)

    second = make(Saving())
    second.load_state_dict(state)
    second.sequence.difficulty = 50

    assert [each[:2] for each in second] == [each[:2] for each in rest]
    assert list(second) == following


def test_seek_right_after_a_load_is_a_seek_in_the_run(make):
    first = make(Saving())
    take(iter(first), 2)
    first.sequence.difficulty += 7
    state = first.state_dict()
    second = make(Saving())
    second.load_state_dict(state)

    for enqueuer in (first, second):
        enqueuer.seek(0, 4)

    assert list(second) == list(first)
    assert list(second) == list(first)


def test_state_that_is_the_same_before_and_after_the_hook_is_put_back(make):
    first = make(Levelled())
    iterator = iter(first)
    take(iterator, 2)
    first.sequence.begun = 0
    first.sequence.difficulty = 0
    state = first.state_dict()
    rest, following = list(iterator), list(first)

    second = make(Levelled())
    second.load_state_dict(state)

    assert [each[0] for each in second] == [each[0] for each in rest]
    assert list(second) == following


def test_states_belong_to_whoever_has_them(make):
    first = make(Saving())
    take(iter(first), 2)
    state = first.state_dict()
    other = first.state_dict()
    second = make(Saving())
    second.load_state_dict(state)

    state["sequence"]["order"].clear()
    state["sequence_at_begin"]["order"].clear()

    assert second.state_dict() == first.state_dict() == other
    assert len(list(second)) == 4


def test_sequence_that_takes_the_place_of_a_loaded_one_is_asked_for_no_state(make):
    first = make(Saving())
    take(iter(first), 2)
    second = make(Saving())
    second.load_state_dict(first.state_dict())

    second.sequence = Indices(6)

    assert "sequence" not in second.state_dict()
    assert list(second) == [2, 3, 4, 5]


@pytest.mark.parametrize("sequence", [Indices(6), Shuffling(6)])
def test_lenient_load_leaves_a_state_that_nobody_takes(make, sequence):
    first = make(Saving())
    take(iter(first), 2)
    second = make(sequence)

    with pytest.warns(SeqloaderWarning, match="holds one of the Sequence"):
        second.load_state_dict(first.state_dict(), strict=False)

    assert len(list(second)) == 4


def test_lenient_load_leaves_a_state_that_the_sequence_refuses(make):
    class Refusing(Saving):
        def load_state_dict(self, state):
            if state["difficulty"] > 50:
                raise ResumeError("too hard", differences=("difficulty: 99 in the state",))
            super().load_state_dict(state)

    first = make(Saving())
    take(iter(first), 2)
    first.sequence.difficulty = 99
    second = make(Refusing())

    with pytest.raises(ResumeError) as caught:
        second.load_state_dict(first.state_dict())
    assert caught.value.differences == ("difficulty: 99 in the state",)
    with pytest.warns(SeqloaderWarning, match="difficulty: 99"):
        second.load_state_dict(first.state_dict(), strict=False)

    assert second.sequence.difficulty < 50
    assert len(list(second)) == 4


def test_state_before_the_epoch_without_the_one_after_is_damaged(make):
    state = {**make(Saving()).state_dict(), "sequence_at_begin": {}}
    del state["sequence"]

    with pytest.raises(ResumeError, match="sequence is missing"):
        make(Saving()).load_state_dict(state)


# Meanwhile


def test_threads_compute_nothing_with_a_state_that_is_refused(make, until_computed):
    class Judging(Saving):
        def __getitem__(self, index):
            until_computed.add(index)
            return index, self.difficulty

        def load_state_dict(self, state):
            super().load_state_dict(state)
            if state["difficulty"] == 99:
                threading.Event().wait(0.05)  # what would be computed meanwhile
                raise ValueError("refused")

    enqueuer = make(Judging(), executor="thread", workers=2, max_queue_size=2)
    difficulty = enqueuer.peek()[1]
    iterator = iter(enqueuer)
    state = enqueuer.state_dict()
    state["sequence_at_begin"] = {**state["sequence"], "difficulty": 99}

    with pytest.raises(ValueError, match="refused"):
        enqueuer.load_state_dict(state)

    assert list(iterator) == [(index, difficulty) for index in range(6)]


@pytest.fixture
def until_computed():
    return set()


def test_whoever_saves_during_a_load_sees_here_or_there(make):
    seen = []

    class Watched(Saving):
        def load_state_dict(self, state):
            super().load_state_dict(state)
            seen.append(enqueuer.state_dict())

    first = make(Saving())
    stream = first.get()
    take(stream, 9)
    enqueuer = make(Watched(), seed=None)
    take(iter(enqueuer), 2)
    here = enqueuer.state_dict()

    enqueuer.load_state_dict(first.state_dict())

    assert seen
    assert all(state == here for state in seen)
    assert enqueuer.state_dict() == first.state_dict()


def test_get_goes_on_when_the_seed_of_a_state_is_taken_while_running(make):
    first = make(Indices(9), shuffle=True)
    take(iter(first), 4)
    with OrderedEnqueuer(Indices(9), shuffle=True, workers=1) as second:
        stream = second.get()
        take(stream, 2)

        second.load_state_dict(first.state_dict())

        first.seek(0, 4)
        assert take(stream, 5) == list(first)
