"""Going anywhere, and leaving out named batches."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resumed_sequences import Counting, Indices, Shuffling

from seqloader import OrderedEnqueuer, ResumeError, SeqloaderWarning
from seqloader.testing import Gate


def take(iterator, count):
    return list(itertools.islice(iterator, count))


# seek


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 2}, {"executor": "thread"}])
def test_seek_goes_to_any_place(make, options):
    epochs = make(Indices(9), shuffle=True)
    order = [list(epochs) for _ in range(4)]
    enqueuer = make(Indices(9), shuffle=True, **{"workers": 2, **options})

    for epoch, position in [(2, 5), (0, 0), (0, 8), (3, 9), (1, 3)]:
        enqueuer.seek(epoch, position)
        assert enqueuer.epoch == epoch
        assert list(enqueuer) == order[epoch][position:]
        assert enqueuer.epoch == epoch + 1


def test_seek_costs_the_same_however_far(make):
    length = 10**9
    enqueuer = make(Indices(length), shuffle=True, workers=1)

    enqueuer.seek(7, 10**8)
    ahead = take(iter(enqueuer), 3)
    enqueuer.seek(7, 10**8 + 1)

    assert take(iter(enqueuer), 2) == ahead[1:]


def test_seek_cuts_the_epoch_under_way_without_its_hook(make):
    class Ending(Indices):
        ended = 0

        def on_epoch_end(self):
            self.ended += 1

    enqueuer = make(Ending(5))
    iterator = iter(enqueuer)
    take(iterator, 2)

    enqueuer.seek(0, 4)

    assert enqueuer.sequence.ended == 0
    assert list(enqueuer) == [4]
    assert enqueuer.sequence.ended == 1


def test_seek_in_an_endless_sequence_counts_from_its_first_batch(make):
    enqueuer = make(Counting())

    enqueuer.seek(3, 10**12)

    assert take(iter(enqueuer), 2) == [10**12, 10**12 + 1]


def test_seek_to_another_epoch_warns_where_hooks_may_have_changed_the_order(make):
    enqueuer = make(Shuffling())
    enqueuer.seek(0, 3)

    with pytest.warns(SeqloaderWarning, match="what the hook did"):
        enqueuer.seek(2)


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ((-1, 0), ValueError, "epoch must be at least 0"),
        ((0, -1), ValueError, "position must be at least 0"),
        ((0, 10), ResumeError, "10 of epoch 0 was to come next, and the epoch has 9"),
        ((0, 1.5), TypeError, "position must be an integer"),
        ((None, 0), TypeError, "epoch must be an integer"),
    ],
)
def test_place_that_cannot_be_is_refused_and_nothing_is_lost(make, place, error, words):
    enqueuer = make(Indices(9), workers=2)
    iterator = iter(enqueuer)
    got = take(iterator, 2)

    with pytest.raises(error, match=words):
        enqueuer.seek(*place)

    assert got + list(iterator) == list(range(9))


# skip


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 30),
    shuffle=st.booleans(),
    skips=st.dictionaries(st.integers(0, 20), st.sets(st.integers(0, 30)), max_size=3),
    peeks=st.sets(st.integers(0, 20)),
    queue=st.integers(2, 5),
)
def test_skipped_positions_are_left_out_and_nothing_else(length, shuffle, skips, peeks, queue):
    options = {"seed": 3, "executor": "thread", "workers": 2, "max_queue_size": queue}
    with OrderedEnqueuer(Indices(length), shuffle, **options) as enqueuer:
        order = list(enqueuer)
    got, states, left_out = [], [], set()

    with OrderedEnqueuer(Indices(length), shuffle, **options) as enqueuer:
        iterator = iter(enqueuer)
        for step in range(length):
            due = enqueuer.state_dict()["position"]
            wanted = {p for p in skips.get(step, ()) if due <= p < length}
            if step in peeks and len(got) < length - len(left_out):
                enqueuer.peek()
            enqueuer.skip(wanted)
            left_out |= wanted
            states.append((len(got), enqueuer.state_dict()))
            batch = take(iterator, 1)
            if not batch:
                break
            got += batch

    expected = [order[position] for position in range(length) if position not in left_out]
    assert got == expected
    done, state = states[-1]
    with OrderedEnqueuer(Indices(length), shuffle, **options) as enqueuer:
        enqueuer.load_state_dict(state)
        assert enqueuer.state_dict() == state
        assert list(enqueuer) == expected[done:]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_range_of_any_length_is_skipped_at_once(make, workers):
    enqueuer = make(Indices(10**12), workers=workers)
    iterator = iter(enqueuer)
    take(iterator, 2)

    enqueuer.skip(range(2, 10**12 - 2))

    assert enqueuer.state_dict()["skipped"] == [[0, 2, 10**12 - 2]]
    assert list(iterator) == [10**12 - 2, 10**12 - 1]


def test_skip_in_a_coming_epoch_is_remembered_until_then(make):
    enqueuer = make(Indices(5))
    enqueuer.skip([1, 2], epoch=1)
    enqueuer.skip([0])

    assert [list(enqueuer) for _ in range(3)] == [[1, 2, 3, 4], [0, 3, 4], [0, 1, 2, 3, 4]]


def test_batch_being_computed_that_is_skipped_is_not_waited_for(make, tmp_path):
    gate = Gate(tmp_path)

    class Stuck(Indices):
        def __getitem__(self, index):
            if index == 2:
                gate.pass_through(index)
            return index

    enqueuer = make(Stuck(8), executor="thread", workers=2)
    iterator = iter(enqueuer)
    got = take(iterator, 2)
    gate.wait_arrived(1)

    enqueuer.skip([2])
    got += take(iterator, 3)
    gate.open()

    assert got + list(iterator) == [0, 1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("workers", [0, 2])
def test_batch_that_raises_is_skipped_before_it_is_due(make, workers):
    class Poisoned(Indices):
        def __getitem__(self, index):
            return index if index != 3 else 1 // 0

    enqueuer = make(Poisoned(6), workers=workers)
    iterator = iter(enqueuer)
    got = take(iterator, 2)

    enqueuer.skip([3])

    assert got + list(iterator) == [0, 1, 2, 4, 5]


def test_batch_that_was_only_shown_can_be_skipped(make):
    enqueuer = make(Indices(5))
    iterator = iter(enqueuer)
    assert enqueuer.peek() == 0

    enqueuer.skip([0, 1])

    assert enqueuer.peek() == 2
    assert list(iterator) == [2, 3, 4]


@pytest.mark.parametrize(
    ("positions", "epoch", "error", "words"),
    [
        ([1], None, ValueError, "position 1 of epoch 1 was delivered already: 2 comes next"),
        ([9], None, ValueError, "epoch 1 has no position 9: it has 9 on this shard"),
        ([3], 0, ValueError, "epoch 0 is over"),
        ([-1], None, ValueError, "cannot begin at -1"),
        ([2.5], None, TypeError, "integer"),
        (3, None, TypeError, "iterable"),
        ([3], -1, ValueError, "epoch must be at least 0"),
    ],
)
def test_skip_that_cannot_be_is_refused_and_nothing_is_lost(make, positions, epoch, error, words):
    enqueuer = make(Indices(9))
    list(enqueuer)
    iterator = iter(enqueuer)
    got = take(iterator, 2)

    with pytest.raises(error, match=words):
        enqueuer.skip(positions, epoch=epoch)

    assert got + list(iterator) == list(range(9))
    assert enqueuer.state_dict()["skipped"] == []


def test_skip_may_be_said_again(make):
    enqueuer = make(Indices(4))
    iterator = iter(enqueuer)
    take(iterator, 1)
    enqueuer.skip([1])
    enqueuer.peek()

    enqueuer.skip([1, 3])

    assert list(iterator) == [2]


def test_skip_before_the_first_batch_knows_the_length(make):
    with pytest.raises(ValueError, match="it has 9 on this shard"):
        make(Indices(9)).skip([9])
