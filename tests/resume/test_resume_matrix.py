"""Saved before every batch, and loaded anywhere: all that follows is the same (P12).

The saved states do not depend on who computed. So each run that saves is compared with one
reference run, state by state; each run that loads goes through all states of the reference.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import warnings

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resumed_sequences import Drawing, DrawingGlobally, Indices

from seqloader import OrderedEnqueuer, WorkerLostWarning
from seqloader.order import Plan, Ranges, Shard

LENGTH, EPOCHS = 7, 2
RUNS = {
    "inline": {"workers": 0},
    "thread, 1 worker": {"workers": 1, "executor": "thread"},
    "thread, 3 workers": {"workers": 3, "executor": "thread"},
    "process, 1 worker": {"workers": 1},
    "process, 3 workers": {"workers": 3},
    "process, forked": {"workers": 2, "start_method": "fork"},
}
PLANS = {
    "in order": {"shuffle": False},
    "shuffled": {"shuffle": True},
    "shard 1 of 3, padded": {"shuffle": True, "shard": (1, 3), "remainder": "pad"},
    "shard 0 of 2, uneven": {"shuffle": True, "shard": (0, 2), "remainder": "uneven"},
}
ways_to_run = pytest.mark.parametrize("run", RUNS)
plans = pytest.mark.parametrize("plan", PLANS)


def sequence_for(run):
    return Drawing(LENGTH) if run.startswith("thread") else DrawingGlobally(LENGTH)


def count_of(enqueuer):
    return len(enqueuer) * EPOCHS


def plain(batch):
    """A batch as values that compare."""
    return {name: np.asarray(value).tolist() for name, value in batch.items()}


@pytest.fixture(scope="module")
def reference():
    """(run, plan) -> what a run in the consumer gives: its batches, and the state before each."""
    known = {}

    def refer(run, plan):
        kind = type(sequence_for(run)), plan
        if kind not in known:
            with OrderedEnqueuer(sequence_for(run), workers=0, seed=20, **PLANS[plan]) as enqueuer:
                stream, batches, states = enqueuer.get(), [], []
                for _ in range(count_of(enqueuer)):
                    states.append(enqueuer.state_dict())
                    batches.append(plain(next(stream)))
            known[kind] = batches, states
        return known[kind]

    return refer


@ways_to_run
@plans
def test_states_are_the_same_whoever_computes(make, reference, run, plan):
    batches, states = reference(run, plan)
    enqueuer = make(sequence_for(run), **RUNS[run], **PLANS[plan])
    stream = enqueuer.get()

    for batch, state in zip(batches, states, strict=True):
        assert enqueuer.state_dict() == state
        assert plain(next(stream)) == batch


@ways_to_run
@plans
def test_every_state_gives_what_would_have_come_next(make, reference, through_json, run, plan):
    batches, states = reference(run, plan)
    enqueuer = make(sequence_for(run), **RUNS[run], **PLANS[plan])

    for done, state in enumerate(states):
        enqueuer.load_state_dict(through_json(state))
        assert enqueuer.state_dict() == state
        stream = enqueuer.get()
        rest = [plain(next(stream)) for _ in batches[done:]]
        assert rest == batches[done:]


@ways_to_run
def test_state_loaded_before_the_start_gives_the_rest(make, reference, run):
    batches, states = reference(run, "shuffled")
    enqueuer = make(sequence_for(run), shuffle=True, **RUNS[run])

    enqueuer.load_state_dict(states[4])

    rest = [plain(batch) for _ in range(EPOCHS) for batch in enqueuer]
    assert rest == batches[4:]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    length=st.integers(1, 40),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**128),
    shard=st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))),
    remainder=st.sampled_from(["drop", "pad", "uneven"]),
    queues=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    ways=st.tuples(st.sampled_from(["inline", "thread"]), st.sampled_from(["inline", "thread"])),
    data=st.data(),
)
def test_any_run_goes_on_from_any_state(
    length, shuffle, seed, shard, remainder, queues, ways, data
):
    def run(way, queue):
        return OrderedEnqueuer(
            Drawing(length),
            shuffle,
            seed=seed,
            shard=shard,
            remainder=remainder,
            max_queue_size=queue,
            workers=0 if way == "inline" else 2,
            executor=way,
        )

    with run(ways[0], queues[0]) as first, run(ways[1], queues[1]) as second:
        epoch = len(first)
        if not epoch:
            assert list(first) == list(second) == []
            return
        done = data.draw(st.integers(0, 3 * epoch))
        stream = first.get()
        for _ in range(done):
            next(stream)
        second.load_state_dict(first.state_dict())
        assert second.state_dict() == first.state_dict()
        ahead = second.get()
        for _ in range(epoch + 2):
            assert plain(next(ahead)) == plain(next(stream))


@pytest.mark.torch
@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 2}])
def test_draws_of_torch_go_on(make, options):
    torch = pytest.importorskip("torch")

    class Torch(Indices):
        def __getitem__(self, index):
            return index, torch.rand(3).tolist()

    first = make(Torch(5), shuffle=True)
    stream = first.get()
    for _ in range(8):
        next(stream)
    second = make(Torch(5), shuffle=True, **options)
    second.load_state_dict(first.state_dict())

    ahead = second.get()
    assert [next(ahead) for _ in range(7)] == [next(stream) for _ in range(7)]


@plans
@pytest.mark.parametrize(("victims", "places"), [(1, (1, 4)), (3, (4,))])
def test_a_crash_at_the_moment_of_saving_changes_nothing(make, reference, plan, victims, places):
    # At most two victims have not become ready: three in a row would count as unable to start.
    batches, states = reference("process", plan)
    enqueuer = make(DrawingGlobally(LENGTH), workers=3, max_queue_size=3, **PLANS[plan])
    stream = enqueuer.get()

    with worker_deaths_ignored():
        for place, (batch, state) in enumerate(zip(batches, states, strict=True)):
            if place in places:
                kill(victims)
            assert enqueuer.state_dict() == state
            assert plain(next(stream)) == batch
        while not enqueuer.stats().respawns:
            next(stream)


def test_a_crash_right_after_loading_changes_nothing(make, reference):
    batches, states = reference("process", "shuffled")
    enqueuer = make(DrawingGlobally(LENGTH), workers=3, shuffle=True)
    enqueuer.start()

    with worker_deaths_ignored():
        for done, state in enumerate(states):
            enqueuer.load_state_dict(state)
            stream = enqueuer.get()
            first = plain(next(stream))
            if done in (0, LENGTH):
                kill(1)
            assert [first, *(plain(next(stream)) for _ in batches[done + 1 :])] == batches[done:]
        while not enqueuer.stats().respawns:
            next(stream)


@contextlib.contextmanager
def worker_deaths_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkerLostWarning)
        yield


def kill(count):
    for worker in psutil.Process().children()[:count]:
        os.kill(worker.pid, signal.SIGKILL)


# Other numbers of shards

WORLDS = (1, 2, 3, 4, 8)


def lock_step(length, shuffle, count, remainder="uneven", state=None):
    """One enqueuer for each of `count` shards."""
    ranks = [
        OrderedEnqueuer(
            Indices(length), shuffle, workers=0, seed=20, shard=(id, count), remainder=remainder
        )
        for id in range(count)
    ]
    for rank in ranks:
        if state is not None:
            rank.load_state_dict(state)
    return ranks


def take(ranks, steps):
    """What they deliver in so many steps of one epoch; who has no more is left out."""
    got = []
    iterators = [iter(rank) for rank in ranks]
    for _ in range(steps):
        got += [batch for batch in (next(each, None) for each in iterators) if batch is not None]
    return got


@pytest.mark.parametrize(("saved", "loaded"), list(itertools.product(WORLDS, WORLDS)))
@pytest.mark.parametrize("shuffle", [False, True])
def test_what_remains_is_delivered_once_by_any_number_of_shards(saved, loaded, shuffle):
    length = 29
    for steps in range(length // saved + 1):
        before = lock_step(length, shuffle, saved)
        seen = take(before, steps)
        states = [rank.state_dict() for rank in before]

        for state in (states[0], states[-1]):
            rest = take(lock_step(length, shuffle, loaded, state=state), length)
            assert sorted(seen + rest) == list(range(length))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    length=st.integers(1, 60),
    shuffle=st.booleans(),
    stages=st.lists(st.tuples(st.sampled_from(WORLDS), st.integers(0, 9)), min_size=3, max_size=3),
    last=st.sampled_from(WORLDS),
    skipped=st.sets(st.integers(0, 9), max_size=3),
)
def test_three_resumes_within_one_epoch_are_exact(length, shuffle, stages, last, skipped):
    state, seen, left_out = None, [], set()
    for count, steps in stages:
        ranks = lock_step(length, shuffle, count, state=state)
        steps = min(steps, *(positions_left(rank) for rank in ranks))
        for rank in ranks:
            left_out |= skip(rank, skipped)
        start = ranks[0].state_dict()["position"]
        passed = range(start, start + steps)
        seen += take(ranks, sum(position not in skipped for position in passed))
        state = ranks[0].state_dict()

    rest = take(lock_step(length, shuffle, last, state=state), length)

    assert len(seen + rest) == len({*seen, *rest})
    assert {*seen, *rest} == set(range(length)) - left_out


def plan_of(rank):
    """The plan of the epoch that a rank stands in, by what its state says."""
    state = rank.state_dict()
    left_out = Ranges((start, stop) for _, start, stop in state["left_out"])
    shuffle, length = state["fingerprint"]["shuffle"], state["fingerprint"]["length"]
    return Plan(length, shuffle, 20, 0, Shard(*rank.shard), state["first"], left_out=left_out)


def positions_left(rank):
    return plan_of(rank).count - rank.state_dict()["position"]


def skip(rank, positions):
    """Skip what there is of these positions; returns the batches that this leaves out."""
    plan, start = plan_of(rank), rank.state_dict()["position"]
    known = [position for position in positions if start <= position < plan.count]
    rank.skip(known)
    return {plan.index(position) for position in known}


@pytest.mark.parametrize("remainder", ["drop", "pad"])
def test_remainder_is_dealt_out_anew_where_the_shards_become_others(remainder):
    before = lock_step(29, True, 4, remainder)
    seen = take(before, 5)

    after = lock_step(29, True, 3, remainder, before[0].state_dict())
    rest = take(after, 29)

    assert len({*seen, *rest}) == 29
    assert len(seen + rest) == 29  # 9 remained: nothing to drop, nothing to pad


def test_the_rest_of_an_epoch_that_cannot_be_dealt_out_evenly_is_refused_without_a_choice():
    before = lock_step(12, False, 3)
    take(before, 1)
    state = before[0].state_dict()
    rank = OrderedEnqueuer(Indices(12), workers=0, seed=20, shard=(0, 2))

    with pytest.raises(ValueError, match="9 batches cannot be dealt out evenly to 2 shards"):
        rank.load_state_dict(state)

    assert list(rank) == [0, 2, 4, 6, 8, 10]  # as if nothing had been tried
