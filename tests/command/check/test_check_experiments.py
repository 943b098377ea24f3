"""Why two computations of a batch differ: real workers, one experiment after the other."""

from __future__ import annotations

import pytest

from seqloader.command.check.batches import Seen
from seqloader.command.check.memory import weigh_rounds
from seqloader.command.check.probe import Bench, Task
from seqloader.command.check.sameness import Cause, compare_runs, first_run, second_run

SOURCE = """
    import random
    from datetime import datetime

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

    def date(sequence, index):
        return f"{datetime.now():%H:%M:%S}"

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
"""

SAME = ["batch_rng", "cached", "own_generator"]
CAUSES = {
    "unseeded": (Cause.SOURCE, None),
    "date": (Cause.SOURCE, None),
    "order_of_a_set": (Cause.HASHES, None),
    "counted": (Cause.HISTORY, "Few.calls"),
    "in_place": (Cause.HISTORY, "self.rows"),
}


@pytest.fixture
def make(module_of):
    module = module_of(SOURCE)
    return lambda act: module.Few(getattr(module, act))


def compared(sequence, method="spawn", seconds=60):
    bench = Bench(sequence, 0, method, timeout_s=30.0)
    tasks, first = first_run(bench, range(6), seconds=60)
    second = second_run(bench, tasks, seconds=60)
    return compare_runs(bench, tasks, first, second, seconds)


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
    if name is not None:
        assert name in [change.name for change in found.changed]


def test_forked_workers_are_compared_without_other_hashes(make):
    found = compared(make("counted"), method="fork")

    assert found.cause is Cause.HISTORY
    assert not found.tried_hashes


def test_a_run_that_is_cut_short_is_no_evidence(make):
    found = compared(make("unseeded"), seconds=-1)

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

    run = bench.observe([Task(index) for index in (0, 1, 2, 3, 2, 4)], seconds=60)

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
    module = module_of(LEAKING)
    bench = Bench(module.Leaking(nbytes), 0, "spawn", timeout_s=30.0)
    seen = [Seen(index, 0.005, 8000, ()) for index in range(8)]

    found = weigh_rounds(bench, seen, 8, epochs=3, seconds=2.0)

    assert found is not None
    assert found.rounds > 20
    assert found.grows == bool(nbytes)
    if nbytes:
        assert 0.8 * nbytes < found.bytes_per_call < 1.5 * nbytes
        [(place, per_batch)] = found.lines
        assert place.startswith("work_")
        assert per_batch > 0.8 * nbytes
    else:
        assert found.lines == ()
