"""What depends on (seed, epoch, index) alone, and what is left as it was (P12)."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from sequences_for_tests import (
    Numbers,
    Once,
    Random,
    RandomKilledOnce,
    ShuffledInHooks,
    global_states,
)

from seqloader import WorkerLostWarning, batch_context

SEED = 20
ORDERS = [
    [5, 8, 10, 7, 9, 11, 2, 0, 6, 1, 4, 3],
    [11, 9, 5, 8, 10, 3, 4, 7, 0, 1, 6, 2],
    [5, 4, 6, 0, 1, 2, 10, 8, 7, 11, 9, 3],
]
"""Of 12 batches in epochs 0, 1, 2: written down, since they must mean the same after upgrades."""


def epochs_of(enqueuer, count=2):
    return [list(enqueuer) for _ in range(count)]


@contextlib.contextmanager
def globals_kept():
    """The consumer's global generators are in the end as they were. Decorates tests."""
    random.seed(4)
    np.random.seed(4)
    before = global_states()
    yield
    assert global_states() == before


@pytest.fixture(scope="module")
def expected():
    """Two epochs of `Random`, computed without any enqueuer's workers."""
    from seqloader import OrderedEnqueuer

    with OrderedEnqueuer(Random(), workers=0, seed=SEED) as enqueuer:
        return epochs_of(enqueuer)


@pytest.mark.parametrize("workers", [1, 2, 8])
@globals_kept()
def test_all_numbers_are_the_same_for_any_number_of_workers(make_any, expected, workers):
    assert epochs_of(make_any(Random(), workers=workers, seed=SEED)) == expected


@globals_kept()
def test_all_numbers_are_the_same_for_workers_that_were_forked(make_any, expected):
    enqueuer = make_any(Random(), start_method="fork", seed=SEED)

    assert epochs_of(enqueuer) == expected


def test_threads_have_the_same_rng(make_any, expected):
    found = epochs_of(make_any(Random(), executor="thread", seed=SEED))

    assert [[b["rng"] for b in epoch] for epoch in found] == [
        [b["rng"] for b in epoch] for epoch in expected
    ]


def test_numbers_differ_by_index_and_epoch(expected):
    for name in ("rng", "random", "numpy"):
        drawn = [str(batch[name]) for epoch in expected for batch in epoch]
        assert len(set(drawn)) == 20


@globals_kept()
def test_a_killed_worker_changes_no_number(make_any, expected, tmp_path):
    enqueuer = make_any(RandomKilledOnce(tmp_path), seed=SEED)

    with pytest.warns(WorkerLostWarning, match="SIGKILL"):
        found = epochs_of(enqueuer)

    assert found == expected
    assert enqueuer.stats().respawns == 1


def test_a_batch_tried_again_draws_the_same(make, tmp_path, expected):
    class Failing(Random):
        def __getitem__(self, index):
            drawn = super().__getitem__(index)
            marker = tmp_path / f"failed-{index}"
            if not marker.exists():
                marker.touch()
                raise OSError("once")
            return drawn

    [found] = epochs_of(make(Failing(), retries=1, seed=SEED), 1)

    assert [b["rng"] for b in found] == [b["rng"] for b in expected[0]]


def test_the_order_is_the_same_for_any_executor(make):
    orders = [
        [int(batch[0, 0]) for batch in epoch]
        for epoch in epochs_of(make(Numbers(length=12), shuffle=True, seed=SEED), 3)
    ]

    assert orders == ORDERS


def test_the_order_does_not_depend_on_what_ran_before(make):
    enqueuer = make(Numbers(length=12), shuffle=True, seed=SEED)
    next(iter(enqueuer))
    enqueuer.stop()
    next(enqueuer.get())

    assert [int(batch[0, 0]) for batch in enqueuer] == ORDERS[2]


def test_numbers_belong_to_the_index_whatever_its_position(make, expected):
    shuffled = list(make(Random(), shuffle=True, seed=SEED))

    assert [batch["index"] for batch in shuffled] != list(range(10))
    for batch in shuffled:
        assert batch["rng"] == expected[0][batch["index"]]["rng"]


def test_another_seed_gives_other_numbers_and_another_order(make):
    one, other = (list(make(Random(), shuffle=True, seed=seed)) for seed in (1, 2))

    assert [b["index"] for b in one] != [b["index"] for b in other]
    assert not {b["rng"][0] for b in one} & {b["rng"][0] for b in other}


@pytest.mark.parametrize("kind", ["inline", "process"])
@globals_kept()
def test_compute_gives_what_was_delivered(make_any, kind):
    enqueuer = make_any(Random(), executor=kind, seed=SEED)
    found = epochs_of(enqueuer)

    for index in range(10):
        assert enqueuer.compute(index, epoch=1) == found[1][index]
    assert enqueuer.compute(3) == found[0][3]


@globals_kept()
def test_hooks_are_seeded_and_leave_the_consumers_generators(make):
    found = epochs_of(make(ShuffledInHooks(), seed=SEED), 3)
    again = epochs_of(make(ShuffledInHooks(), workers=1, seed=SEED), 3)
    other = epochs_of(make(ShuffledInHooks(), seed=SEED + 1), 3)

    assert found == again != other
    assert len({str(epoch) for epoch in found}) == 3


def test_hooks_shuffle_alike_in_every_executor(make, make_any):
    sequence, inline = ShuffledInHooks(), ShuffledInHooks()

    found = epochs_of(make(sequence, seed=SEED))

    assert found == epochs_of(make_any(inline, workers=0, seed=SEED))
    assert sequence.samples.tolist() == inline.samples.tolist() != list(range(18))
    assert sequence.extra == inline.extra != list(range(10))


def test_without_a_seed_hooks_draw_from_the_consumers_own_generators(make):
    def first_epoch():
        random.seed(4)
        sequence = ShuffledInHooks()
        next(iter(make(sequence)))
        return sequence.extra

    assert first_epoch() == first_epoch()


# --- Without a seed ---------------------------------------------------------------------


@pytest.mark.parametrize("start_method", ["spawn", "fork"])
def test_without_a_seed_no_two_workers_repeat_numbers(make_any, start_method):
    np.random.rand()  # a generator that was used is one that forks inherit
    random.random()

    found = epochs_of(make_any(Random(length=25), start_method=start_method))

    for name in ("rng", "random", "numpy"):
        drawn = [str(batch[name]) for epoch in found for batch in epoch]
        assert len(set(drawn)) == 50, name


def test_a_drawn_seed_can_be_read_and_replays_order_and_rng(make):
    enqueuer = make(Random(), shuffle=True)
    found = epochs_of(enqueuer)

    again = epochs_of(make(Random(), shuffle=True, seed=enqueuer.seed))

    for name in ("index", "rng"):
        assert [[b[name] for b in epoch] for epoch in found] == [
            [b[name] for b in epoch] for epoch in again
        ]


def test_every_enqueuer_draws_a_seed_of_its_own(make):
    assert make(Numbers()).seed != make(Numbers()).seed
    assert make(Numbers(), seed=7).seed == 7


# --- batch_context ----------------------------------------------------------------------


def test_a_batch_knows_its_epoch_position_and_index(make):
    def place(index):
        context = batch_context()
        assert context.rng is batch_context().rng
        return context.epoch, context.position, context.index, index

    enqueuer = make(Once(place, length=5), shuffle=True, seed=SEED)
    list(enqueuer)

    found = list(enqueuer)

    assert [epoch for epoch, *_ in found] == [1] * 5
    assert [position for _, position, *_ in found] == list(range(5))
    assert [index for *_, index, _ in found] == [index for *_, index in found]


def test_outside_a_batch_there_is_an_unseeded_rng_and_no_place(make):
    list(make(Random(), seed=SEED))

    assert batch_context().rng.random() != batch_context().rng.random()
    for name in ("epoch", "index", "position"):
        with pytest.raises(RuntimeError, match=f"{name}.*outside a batch"):
            getattr(batch_context(), name)
    assert len(Random()[3]["rng"]) == 3


# --- torch ------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize("start_method", ["spawn", "fork"])
def test_torch_draws_the_same_in_workers_and_in_the_consumer(make_any, start_method):
    torch = pytest.importorskip("torch")
    before = torch.get_rng_state().tolist()

    here = epochs_of(make_any(Random(torch=True), workers=0, seed=SEED))
    there = epochs_of(make_any(Random(torch=True), start_method=start_method, seed=SEED))

    assert here == there
    assert torch.get_rng_state().tolist() == before


@pytest.mark.torch
def test_without_a_seed_no_two_workers_repeat_torchs_numbers(make_any):
    pytest.importorskip("torch")
    found = epochs_of(make_any(Random(length=25, torch=True), start_method="fork"))

    assert len({str(batch["torch"]) for epoch in found for batch in epoch}) == 50
