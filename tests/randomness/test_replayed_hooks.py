from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hooked_sequences import ALL, Hooked, NumpyShuffle, OwnGenerator

from seqloader import OrderedEnqueuer, ResumeError, SeqloaderWarning, Sequence

EPOCHS = 4
EXECUTORS: list[dict[str, Any]] = [
    {"workers": 0},
    {"workers": 2},
    {"workers": 2, "start_method": "fork"},
]


def saved_and_rest(
    sequence: Any, epoch: int, position: int, **options: Any
) -> tuple[dict[str, Any], list[Any]]:
    """A state saved in mid-run, and what the uninterrupted run delivered after it."""
    state: dict[str, Any] = {}
    rest: list[Any] = []
    with OrderedEnqueuer(sequence, seed=7, **options) as enqueuer:
        for number in range(EPOCHS):
            for count, batch in enumerate(enqueuer):
                if (number, count) == (epoch, position):
                    rest = []
                rest.append(batch)
                if (number, count) == (epoch, position - 1):
                    state = enqueuer.state_dict()
    return state, rest


def rest_of(enqueuer: OrderedEnqueuer[Any]) -> list[Any]:
    with enqueuer:
        return [batch for _ in range(EPOCHS - enqueuer.epoch) for batch in enqueuer]


@pytest.mark.parametrize("options", EXECUTORS, ids=str)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_replayed_run_is_the_uninterrupted_one(
    kind: type[Hooked], options: dict[str, Any]
) -> None:
    state, expected = saved_and_rest(kind(), 2, 1, workers=0)
    resumed = OrderedEnqueuer(kind(), **options)

    resumed.load_state_dict(state, replay_hooks=True)

    assert rest_of(resumed) == expected
    assert len(expected) > 6


def test_a_state_saved_after_an_epochs_last_batch_is_replayed_too() -> None:
    state, expected = saved_and_rest(NumpyShuffle(), 1, 6, workers=0)
    resumed = OrderedEnqueuer(NumpyShuffle(), workers=0)

    resumed.load_state_dict(state, replay_hooks=True)

    assert rest_of(resumed) == expected[-12:]


def test_without_replay_the_warning_names_it() -> None:
    state, _ = saved_and_rest(NumpyShuffle(), 2, 1, workers=0)

    with pytest.warns(SeqloaderWarning, match="replay_hooks=True"):
        OrderedEnqueuer(NumpyShuffle(), workers=0).load_state_dict(state)


def test_an_enqueuer_that_is_running_replays_as_well() -> None:
    state, expected = saved_and_rest(OwnGenerator(), 2, 1, workers=0)
    resumed = OrderedEnqueuer(OwnGenerator(), workers=1)

    with resumed:
        resumed.load_state_dict(state, replay_hooks=True)
        assert rest_of(resumed) == expected


def test_a_sequence_whose_hooks_have_run_is_refused() -> None:
    state, _ = saved_and_rest(NumpyShuffle(), 2, 1, workers=0)
    with OrderedEnqueuer(NumpyShuffle(), workers=0, seed=7) as used:
        list(used)

        with pytest.raises(ResumeError, match="made anew"):
            used.load_state_dict(state, replay_hooks=True)

        assert used.epoch == 1


class Saves(NumpyShuffle):
    def state_dict(self) -> Any:
        return self.order.tolist()

    def load_state_dict(self, state: Any) -> None:
        self.order = np.array(state)


def test_what_state_dict_saves_is_not_done_twice() -> None:
    state, _ = saved_and_rest(Saves(), 2, 1, workers=0)

    with pytest.raises(ValueError, match="done twice"):
        OrderedEnqueuer(Saves(), workers=0).load_state_dict(state, replay_hooks=True)


def test_a_state_that_does_not_fit_is_refused_before_any_hook() -> None:
    state, _ = saved_and_rest(NumpyShuffle(), 2, 1, workers=0)
    sequence = NumpyShuffle()

    with pytest.raises(ResumeError, match="seed"):
        OrderedEnqueuer(sequence, workers=0, seed=8).load_state_dict(state, replay_hooks=True)

    assert sequence.order.tolist() == list(range(24))


def test_without_a_seed_it_is_said_that_draws_differ() -> None:
    with OrderedEnqueuer(NumpyShuffle(), workers=0) as enqueuer:
        list(enqueuer)
        state = enqueuer.state_dict()

    with pytest.warns(SeqloaderWarning, match="no seed was given"):
        OrderedEnqueuer(NumpyShuffle(), workers=0).load_state_dict(state, replay_hooks=True)


class FailsOnce(NumpyShuffle):
    hooks = 0
    failing: type[BaseException] | None = None

    def on_epoch_end(self) -> None:
        self.hooks += 1
        super().on_epoch_end()
        if self.failing is not None and self.hooks == 2:
            raise self.failing("in the hook")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("running", [False, True])
def test_a_replay_that_breaks_off_leaves_an_enqueuer_that_refuses_to_go_on(
    error: type[BaseException], running: bool
) -> None:
    state, _ = saved_and_rest(FailsOnce(), 3, 1, workers=0)
    sequence = FailsOnce()
    sequence.failing = error
    enqueuer = OrderedEnqueuer(sequence, workers=0)
    if running:
        enqueuer.peek()

    with pytest.raises(error, match="in the hook") as raised:
        enqueuer.load_state_dict(state, replay_hooks=True)

    assert "hooks of epoch 1" in raised.value.__notes__[0]
    assert not enqueuer.is_running()
    with pytest.raises(ResumeError, match="make another"):
        iter(enqueuer)
    enqueuer.sequence = FailsOnce()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enqueuer.load_state_dict(state, replay_hooks=True)
    assert len(rest_of(enqueuer)) == 5


class Endless(Sequence):
    num_batches = None

    def __init__(self) -> None:
        self.offset = 0

    def __getitem__(self, index: int) -> Any:
        return index, self.offset

    def on_epoch_end(self) -> None:
        self.offset = int(np.random.randint(1 << 30))


def test_an_endless_sequence_is_replayed() -> None:
    def take(enqueuer: OrderedEnqueuer[Any]) -> list[Any]:
        return [batch for _, batch in zip(range(3), enqueuer, strict=False)]

    with OrderedEnqueuer(Endless(), workers=0, seed=1) as whole:
        take(whole)
        batches = iter(whole)
        next(batches)
        state = whole.state_dict()
        expected = [next(batches) for _ in range(3)]
    with OrderedEnqueuer(Endless(), workers=0, seed=1) as resumed:
        resumed.load_state_dict(state, replay_hooks=True)

        assert take(resumed) == expected
