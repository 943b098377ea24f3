"""`end_epoch()`: for whoever knows that an epoch is over before the next one is asked for."""

from __future__ import annotations

import itertools

import pytest
from resumed_sequences import Counting, Indices, Saving

from seqloader import OrderedEnqueuer


def take(iterator, count):
    return list(itertools.islice(iterator, count))


class Hooked(Indices):
    """Notes its hooks, and which batches were computed."""

    def __init__(self, length=6):
        super().__init__(length)
        self.noted = []

    def __getitem__(self, index):
        self.noted.append(index)
        return super().__getitem__(index)

    def on_epoch_begin(self):
        self.noted.append("begin")

    def on_epoch_end(self):
        self.noted.append("end")


@pytest.mark.parametrize("delivered", [1, 3, 6])
def test_an_epoch_is_ended_once_wherever_it_was_left(make, delivered):
    enqueuer = make(Saving())
    expected = make(Saving())
    take(iter(enqueuer), delivered)
    take(iter(expected), delivered)

    enqueuer.end_epoch()
    enqueuer.end_epoch()

    assert enqueuer.epoch == 1
    assert list(enqueuer) == list(expected)


def test_a_stale_iterator_of_an_ended_epoch_says_so_unless_it_was_at_the_end(make):
    enqueuer = make(Indices(4))
    early, whole = iter(enqueuer), None
    take(early, 2)
    enqueuer.end_epoch()
    with pytest.raises(RuntimeError, match="stale"):
        next(early)

    whole = iter(enqueuer)
    take(whole, 4)
    enqueuer.end_epoch()
    assert list(whole) == []


def test_the_stream_goes_on_with_the_next_epoch(make):
    enqueuer = make(Indices(4))
    stream = enqueuer.get()
    take(stream, 2)

    enqueuer.end_epoch()

    assert take(stream, 4) == take(make(Indices(4)).get(), 4)
    assert enqueuer.epoch == 1


@pytest.mark.parametrize("begin", ["nothing", "iter", "peek"])
def test_an_epoch_of_which_nothing_was_delivered_is_none_to_end(begin):
    with OrderedEnqueuer(Hooked(), workers=0) as enqueuer:
        {"nothing": id, "iter": iter, "peek": OrderedEnqueuer.peek}[begin](enqueuer)
        enqueuer.end_epoch()

        assert "end" not in enqueuer.sequence.noted
        assert list(enqueuer) == [0, 1, 2, 3, 4, 5]
        assert enqueuer.epoch == 1


# --- where a run was brought into the middle of one ------------------------------------------


@pytest.mark.parametrize("position", [1, 4, 6])
@pytest.mark.parametrize("begun", [False, True])
def test_hooks_of_a_loaded_epoch_run_and_none_of_its_batches_is_computed(position, begun):
    with OrderedEnqueuer(Hooked(), workers=0) as first:
        take(iter(first), position)
        state = first.state_dict()
    with OrderedEnqueuer(Hooked(), workers=0) as enqueuer:
        enqueuer.load_state_dict(state)
        if begun:
            iter(enqueuer)

        enqueuer.end_epoch()

        assert enqueuer.sequence.noted == ["begin"] * begun + ["begin", "end"][begun:]
        assert (enqueuer.epoch, enqueuer.state_dict()["position"]) == (1, 0)


@pytest.mark.parametrize("position", [1, 4, 6])
def test_what_hooks_do_to_a_sequence_is_as_without_the_stop(make, position):
    first = make(Saving())
    list(first)
    take(iter(first), position)
    second = make(Saving())
    second.load_state_dict(first.state_dict())

    first.end_epoch()
    second.end_epoch()

    assert second.state_dict() == first.state_dict()
    assert list(second) == list(first)


def test_a_sought_place_inside_an_epoch_is_ended_too(make):
    enqueuer = make(Indices(6))
    enqueuer.seek(2, 3)

    enqueuer.end_epoch()

    assert enqueuer.epoch == 3
    enqueuer.end_epoch()
    assert enqueuer.epoch == 3


@pytest.mark.parametrize("position", [1, 2, 3])
def test_what_other_shards_left_of_an_epoch_is_ended(position):
    with OrderedEnqueuer(Hooked(), workers=0, shard=(0, 2)) as first:
        take(iter(first), position)
        state = first.state_dict()
    with OrderedEnqueuer(Hooked(), workers=0) as whole:
        whole.load_state_dict(state)

        whole.end_epoch()

        assert whole.epoch == 1
        assert list(whole) == [0, 1, 2, 3, 4, 5]


def test_an_endless_sequence_goes_on_behind_what_was_delivered():
    with OrderedEnqueuer(Counting(), workers=0) as enqueuer:
        take(iter(enqueuer), 3)
        enqueuer.end_epoch()
        enqueuer.end_epoch()  # the epoch to come begins at 3, and nothing of it was delivered
        assert enqueuer.epoch == 1
        assert take(iter(enqueuer), 2) == [3, 4]
        state = enqueuer.state_dict()

    with OrderedEnqueuer(Counting(), workers=0) as later:
        later.load_state_dict(state)
        later.end_epoch()
        assert later.epoch == 2
        assert take(iter(later), 2) == [5, 6]


def test_an_error_in_the_hook_is_raised_and_the_epoch_is_over():
    class Failing(Indices):
        def on_epoch_end(self):
            raise KeyError("the hook")

    with OrderedEnqueuer(Failing(4), workers=0) as enqueuer:
        take(iter(enqueuer), 2)
        with pytest.raises(KeyError, match="the hook"):
            enqueuer.end_epoch()
        assert enqueuer.epoch == 1
