"""`workers="auto"` and `max_queue_size="auto"`: other sizes, and nothing else is different."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import drawn
import numpy as np
import pytest
from drawn import Drawn

from seqloader import OrderedEnqueuer, Sequence, TuningStep, WorkerLostWarning
from seqloader.executors.process.consumer.schedule import Schedule
from seqloader.executors.thread import ThreadExecutor
from seqloader.run.tuning import budget, rule, tuner
from seqloader.run.tuning.facts import Size
from seqloader.run.tuning.rule import Decision

AUTO = {"workers": "auto"}
POOLS = {**drawn.POOLS, "zygote": {"start_method": "zygote"}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A budget of our own: that of the user may be claimed by others just now."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(params=POOLS)
def pool(request):
    return POOLS[request.param]


class Sleeps(Sequence):
    """Batches that wait for something, without end."""

    num_batches = None

    def __getitem__(self, index):
        time.sleep(0.01)
        return np.array([index])


@pytest.fixture
def restless(monkeypatch):
    """Every look finds another size right."""
    sizes = itertools.cycle([Size(4, 12), Size(1, 2), Size(3, 30), Size(2, 1), Size(1, 40)])

    def look(self, facts):
        return Decision(next(sizes), "restless")

    monkeypatch.setattr(rule.Rule, "look", look)
    monkeypatch.setattr(tuner, "LOOK_S", 0.0)
    monkeypatch.setattr(tuner, "LEAST_BATCHES", 1)


def epochs_of(enqueuer, count=3):
    with enqueuer:
        return [[batch.tolist() for batch in enqueuer] for _ in range(count)]


def test_batches_and_their_order_are_those_of_any_fixed_number(pool, restless):
    fixed = OrderedEnqueuer(Drawn(), workers=2, seed=3, shuffle=True, **pool)
    auto = OrderedEnqueuer(Drawn(), **AUTO, seed=3, shuffle=True, **pool)

    assert epochs_of(auto) == epochs_of(fixed)
    assert len(auto.tuning_log()) >= 5
    assert auto.stats().respawns == auto.stats().retried == 0


def test_a_run_that_sized_itself_is_resumed_by_one_with_a_fixed_number(restless):
    whole = epochs_of(OrderedEnqueuer(Drawn(), workers=0, seed=5), 1)[0]
    with OrderedEnqueuer(Drawn(), **AUTO, seed=5) as auto:
        begun = [batch.tolist() for batch in itertools.islice(auto, 10)]
        state = auto.state_dict()
    rest = OrderedEnqueuer(Drawn(), workers=1, seed=5)
    rest.load_state_dict(state)

    assert begun + epochs_of(rest, 1)[0] == whole


def test_it_starts_small_and_grows_while_the_consumer_waits(pool, monkeypatch):
    monkeypatch.setattr(budget, "available_bytes", lambda: 1 << 40)
    with OrderedEnqueuer(Sleeps(), **AUTO, **pool) as enqueuer:
        started_with = enqueuer.workers
        for number, batch in enumerate(enqueuer):
            assert batch[0] == number
            if enqueuer.workers >= 4:
                break

    assert started_with <= 2
    steps = [step for step in enqueuer.tuning_log() if step.workers[0] != step.workers[1]]
    assert all(isinstance(step, TuningStep) for step in steps)
    assert "the consumer waited" in steps[0].reason
    assert steps[0].workers[0] == started_with
    assert steps[-1].workers[1] >= 4
    assert steps[0].budget_bytes is None or steps[0].budget_bytes > 0


def test_it_has_no_thread_for_it():
    with OrderedEnqueuer(Drawn(), **AUTO) as enqueuer:
        before = threading.active_count()
        list(enqueuer)

        assert threading.active_count() == before


def test_whoever_names_numbers_does_not_load_it():
    script = (
        "import sys; from seqloader import OrderedEnqueuer\n"
        "list(OrderedEnqueuer([1, 2], workers=1, use_multiprocessing=False).get().__next__() "
        "for _ in range(1))\n"
        "assert not [name for name in sys.modules if name.startswith('seqloader.run.tuning')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_given_queue_stays_and_a_given_number_of_workers_too(restless, monkeypatch):
    made = []
    monkeypatch.setattr(rule.Rule, "look", lambda self, facts: made.append(self))
    with OrderedEnqueuer(Drawn(), workers="auto", max_queue_size=7, executor="thread") as workers:
        list(workers)
        assert workers.max_queue_size == 7
    with OrderedEnqueuer(Drawn(), workers=2, max_queue_size="auto", executor="thread") as queue:
        list(queue)
        assert queue.workers == 2

    assert {(each.workers, each.queue) for each in made} == {(True, False), (False, True)}


def test_a_number_that_is_said_by_hand_has_the_last_word(restless):
    with OrderedEnqueuer(Drawn(), **AUTO, executor="thread") as enqueuer:
        iterator = iter(enqueuer)
        next(iterator)
        enqueuer.resize(3)
        decided = len(enqueuer.tuning_log())

        assert len(list(iterator)) == 23
        assert enqueuer.workers == 3
        assert len(list(enqueuer)) == 24
        assert len(enqueuer.tuning_log()) == decided
    enqueuer.start(workers="auto")
    assert len(list(enqueuer)) == 24
    enqueuer.stop()
    assert len(enqueuer.tuning_log()) > decided


def test_a_start_may_name_a_number_and_the_next_is_auto_again(restless):
    enqueuer = OrderedEnqueuer(Drawn(), **AUTO, executor="thread")
    for number in (1, 0):
        enqueuer.start(workers=number)
        list(enqueuer)
        assert (enqueuer.workers, enqueuer.tuning_log()) == (number, [])
        enqueuer.stop()

    epochs_of(enqueuer, 1)
    assert enqueuer.tuning_log()


def test_a_sequence_may_ask_for_it(restless):
    class Asks(Drawn):
        def __init__(self):
            Sequence.__init__(self, workers="auto", use_multiprocessing=False)
            super().__init__()

    enqueuer = OrderedEnqueuer(Asks())
    epochs_of(enqueuer, 1)
    assert enqueuer.tuning_log()


@pytest.mark.parametrize("name", ["workers", "max_queue_size"])
def test_an_executor_of_the_users_own_is_sized_by_its_maker(name):
    with pytest.raises(ValueError, match=f'{name}="auto" is for executor="process" and "thread"'):
        OrderedEnqueuer(Drawn(), executor=ThreadExecutor(2), **{name: "auto"})


@pytest.mark.parametrize("name", ["workers", "max_queue_size"])
def test_any_other_word_is_refused(name):
    with pytest.raises(TypeError, match=f"{name} must be"):
        OrderedEnqueuer(Drawn(), **{name: "many"})
    enqueuer = OrderedEnqueuer(Drawn(), workers=1)
    with pytest.raises(TypeError, match=f"{name} must be"):
        enqueuer.start(**{name: "many"})


def test_inline_there_is_nothing_to_choose():
    enqueuer = OrderedEnqueuer(Drawn(), **AUTO, max_queue_size="auto", executor="inline")

    assert len(epochs_of(enqueuer, 1)[0]) == 24
    assert (enqueuer.workers, enqueuer.tuning_log()) == (0, [])


# --- memory ---------------------------------------------------------------------------------------


class Large(Sequence):
    num_batches = None

    def __getitem__(self, index):
        return np.full((1, 1 << 20), index % 100, np.uint8)


def test_batches_in_memory_stay_within_the_budget(monkeypatch):
    room = 200 << 20
    monkeypatch.setattr(budget, "available_bytes", lambda: budget.PART * room)
    with OrderedEnqueuer(Large(), **AUTO) as enqueuer:
        for _, number in zip(enqueuer, range(3000), strict=False):
            if number % 50 == 0:
                usage = enqueuer._run.session.executor.usage().values()
                batches = (enqueuer.stats().in_flight + 1) << 20
                assert batches + sum(each.private_bytes for each in usage) <= room

    assert enqueuer.max_queue_size > 1
    assert all(step.budget_bytes is not None for step in enqueuer.tuning_log())


def test_without_any_memory_one_worker_computes_a_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(budget, "available_bytes", lambda: 0)
    with OrderedEnqueuer(Drawn(), **AUTO, seed=0) as enqueuer:
        delivered = [int(batch[0]) for batch in enqueuer]

        assert (enqueuer.workers, enqueuer.max_queue_size) == (1, 1)
    assert delivered == list(range(24))


def test_a_worker_killed_for_want_of_memory_leaves_a_smaller_pool(monkeypatch):
    monkeypatch.setattr(budget, "available_bytes", lambda: 1 << 40)
    monkeypatch.setattr(Schedule, "note_death", lambda self, death, latest: True)
    monkeypatch.setattr(tuner, "LOOK_S", 0.0)
    monkeypatch.setattr(tuner, "LEAST_BATCHES", 1)
    with OrderedEnqueuer(Sleeps(), **AUTO) as enqueuer:
        iterator = iter(enqueuer)
        while enqueuer.workers < 4:
            next(iterator)
        while len(usage := enqueuer._run.session.executor.usage()) < 4:
            next(iterator)
        assert len(usage) >= 4
        [victim, *_] = enqueuer._run.session.executor._pool.crew.workers.values()
        os.kill(victim.pid, signal.SIGKILL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WorkerLostWarning)
            while not [s for s in enqueuer.tuning_log() if "killed for want of" in s.reason]:
                next(iterator)


def test_the_claim_ends_with_the_enqueuer(folder):
    enqueuer = OrderedEnqueuer(Drawn(), **AUTO, executor="thread")
    assert os.listdir(folder) == []
    with enqueuer:
        assert len(os.listdir(folder)) == 1
    assert os.listdir(folder) == []

    enqueuer.start()
    del enqueuer  # nobody has stopped it
    assert os.listdir(folder) == []


def test_an_error_ends_the_claim_too(folder):
    class Raises(Drawn):
        def __getitem__(self, index):
            raise KeyError(index)

    enqueuer = OrderedEnqueuer(Raises(), **AUTO, executor="thread")
    with pytest.raises(KeyError):
        list(enqueuer)
    assert os.listdir(folder) == []
