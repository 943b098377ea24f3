"""Why two computations of a batch differ: real workers, one experiment after the other."""

from __future__ import annotations

import time

import pytest

from seqloader.command.check.experiments import (
    FIRST_HASHES,
    OTHER_HASHES,
    compare_runs,
    first_tasks,
    second_tasks,
)
from seqloader.command.check.facts import Cause
from seqloader.command.check.observing import Bench
from seqloader.command.check.probe import Task
from seqloader.command.check.weighing import weigh_rounds

SOURCE = """
    import functools, random, secrets, threading, time, uuid
    from datetime import datetime
    from time import time as now

    from seqloader import batch_context


    class Few(Sequence):
        calls = 0

        def __init__(self, act):
            self.act = act
            self.rng = np.random.default_rng(0)
            self.names = {f"name {number}" for number in range(30)}
            self.rows = np.ones((6, 4))
            self.cache = {}

        def __len__(self):
            return 6

        def __getitem__(self, index):
            return {"same": np.arange(index), "other": self.act(self, index)}


    def batch_rng(sequence, index):
        return batch_context().rng.normal(size=3), np.random.normal(), random.random()

    def cached(sequence, index):
        return sequence.cache.setdefault(index, index * 2)

    def unseeded(sequence, index):
        return np.random.default_rng().normal(size=3)

    def unseeded_random(sequence, index):
        return random.Random().random()

    def system_random(sequence, index):
        return secrets.token_hex()

    def uuid_of_now(sequence, index):
        return uuid.uuid4().hex

    def clock_by_name(sequence, index):
        return int(now() * 1e6)

    def date(sequence, index):
        return str(datetime.now())

    def seed_of_clock_beside_an_innocent(sequence, index):
        assert time.perf_counter() > 0
        return np.random.default_rng(time.time_ns()).normal()

    def order_of_a_set(sequence, index):
        return [*sequence.names][:5]

    def counted(sequence, index):
        Few.calls += 1
        return Few.calls

    def own_generator(sequence, index):
        return sequence.rng.normal()

    def in_place(sequence, index):
        sequence.rows[index] /= 2
        return sequence.rows[index]

    def address(sequence, index):
        return id(object()) ^ id(sequence)

    def process(sequence, index):
        return os.getpid()
"""

SAME = ["batch_rng", "cached", "own_generator"]
CAUSES = {
    "unseeded": (Cause.SOURCE, "numpy.random.default_rng()"),
    "unseeded_random": (Cause.SOURCE, "random.Random()"),
    "system_random": (Cause.SOURCE, "secrets"),
    "uuid_of_now": (Cause.SOURCE, "uuid.uuid4()"),
    "clock_by_name": (Cause.SOURCE, "time.time()"),
    "date": (Cause.SOURCE, "datetime.now()"),
    "seed_of_clock_beside_an_innocent": (Cause.SOURCE, "time.time_ns()"),
    "order_of_a_set": (Cause.HASHES, None),
    "counted": (Cause.HISTORY, "Few.calls"),
    "in_place": (Cause.HISTORY, "self.rows"),
    "process": (Cause.UNKNOWN, "os.getpid()"),
    "address": (Cause.UNKNOWN, "id()"),
}


@pytest.fixture
def make(module_of):
    module = module_of(SOURCE)
    return lambda act: module.Few(getattr(module, act))


def compared(sequence, method="spawn"):
    bench = Bench(sequence, 0, method, timeout_s=30.0)
    tasks = first_tasks(range(6))
    first = bench.observe(tasks, hash_seed=FIRST_HASHES, watch_state=True)
    second = bench.observe(second_tasks(tasks), hash_seed=OTHER_HASHES, watch_state=True)
    return compare_runs(bench, tasks, first, second, until_s=time.monotonic() + 60)


@pytest.mark.parametrize("act", SAME)
def test_batches_that_are_the_same_are_told_so(act, make):
    found = compared(make(act))

    assert found.compared == 6
    assert found.computed > 12
    assert found.differing == ()
    assert found.cause is Cause.NONE
    assert [change.name for change in found.changed] == (["self.cache"] if act == "cached" else [])


@pytest.mark.parametrize("act", CAUSES)
def test_the_cause_of_a_difference_is_found_by_experiment(act, make):
    cause, name = CAUSES[act]

    found = compared(make(act))

    assert found.cause is cause
    assert {leaf.path.partition("]")[0] for leaf in found.leaves} == {'["other"'}
    if cause is Cause.HISTORY:
        assert name in [change.name for change in found.changed]
    elif name is not None:
        [source] = found.sources
        assert source.name.startswith(name)
        assert source.place.startswith("work_")
    else:
        assert found.sources == ()


def test_forked_workers_are_compared_without_other_hashes(make):
    found = compared(make("counted"), method="fork")

    assert found.cause is Cause.HISTORY
    assert not found.tried_hashes


def test_a_run_that_is_cut_short_is_no_evidence(make):
    bench = Bench(make("unseeded"), 0, "spawn", timeout_s=30.0)
    tasks = first_tasks(range(6))
    runs = [bench.observe(tasks, hash_seed=hashes) for hashes in (1, 2)]

    found = compare_runs(bench, tasks, *runs, until_s=time.monotonic() - 1)

    assert len(found.differing) == 10
    assert found.cause is Cause.UNKNOWN
    assert not found.in_time


KILLING = """
    class Killing(Sequence):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            if index == 2:
                os._exit(7)
            if index == 3:
                raise KeyError("no such sample")
            return index
"""


def test_a_batch_that_ends_its_process_is_told_and_the_others_go_on(module_of):
    module = module_of(KILLING)
    bench = Bench(module.Killing(), 0, "spawn", timeout_s=30.0)

    run = bench.observe([Task(index) for index in (0, 1, 2, 3, 2, 4)])

    assert [each.task.index for each in run.observations] == [0, 1, 3, 4]
    assert [each.error for each in run.observations if each.error] == ["KeyError: 'no such sample'"]
    assert [(each.index, each.error) for each in run.died] == [
        (2, "its process ended with exit status 7")
    ]
    assert run.complete


LEAKING = """
    KEPT = []


    class Leaking(Sequence):
        def __init__(self, nbytes):
            self.nbytes = nbytes

        def __len__(self):
            return 8

        def __getitem__(self, index):
            batch = np.full(1000, index)
            if self.nbytes:
                KEPT.append(np.ones(self.nbytes // 8))
            return batch
"""


@pytest.mark.parametrize("nbytes", [0, 40_000])
def test_a_worker_that_grows_is_told_with_the_line_that_grew(nbytes, module_of):
    from seqloader.command.check.facts import Seen
    from seqloader.command.check.growth import bytes_per_call, grows

    module = module_of(LEAKING)
    bench = Bench(module.Leaking(nbytes), 0, "spawn", timeout_s=30.0)
    seen = [Seen(index, 0.0005, 8000, ()) for index in range(8)]

    found = weigh_rounds(bench, seen, 8, epochs=3, seconds=0.2)

    assert found is not None
    assert found.rounds > 20
    assert grows(found) == bool(nbytes)
    if nbytes:
        assert 0.8 * nbytes < bytes_per_call(found) < 1.5 * nbytes
        [(place, per_batch)] = found.lines
        assert place.startswith("work_")
        assert per_batch > 0.8 * nbytes
    else:
        assert found.lines == ()
