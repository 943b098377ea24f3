"""Why two computations of a batch differ: real workers, one experiment after the other."""

from __future__ import annotations

import pytest

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


    def same(sequence, index):
        drawn = batch_context().rng.normal(size=3), np.random.normal(), random.random()
        own = sequence.rng.normal()
        return drawn, own, sequence.cache.setdefault(index, index * 2)

    def unseeded(sequence, index):
        return np.random.default_rng().normal(size=3)

    def date(sequence, index):
        return f"{datetime.now():%H:%M:%S}"

    def order_of_a_set(sequence, index):
        return [*sequence.names][:5]

    def counted(sequence, index):
        Few.calls += 1
        return Few.calls

    def in_place(sequence, index):
        sequence.rows[index] /= 2
        return sequence.rows[index]
"""

CAUSES = {
    "unseeded": (
        Cause.SOURCE,
        ["3 of 3 elements", "random numbers without a seed", "batch_context().rng"],
    ),
    "date": (Cause.SOURCE, ['batch["other"]', "Do not let a batch depend on the time"]),
    "order_of_a_set": (
        Cause.HASHES,
        ["order of a set of strings", "PYTHONHASHSEED", "sorted(...)"],
    ),
    "in_place": (Cause.HISTORY, ["self.rows"]),
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


def test_batches_that_are_the_same_are_told_so(make):
    found = compared(make("same"))

    assert found.compared == 6
    assert found.computed > 12
    assert found.differing == ()
    assert found.cause is Cause.NONE
    assert [change.name for change in found.changed] == ["self.cache"]


@pytest.mark.parametrize("act", CAUSES)
def test_the_cause_of_a_difference_is_found_by_experiment(act, make):
    cause, said = CAUSES[act]

    found = compared(make(act))

    assert found.cause is cause
    assert {leaf.path.partition("]")[0] for leaf in found.leaves} == {'["other"'}
    told = " ".join(found.finding()[1:])
    for words in said:
        assert words in told


def test_forked_workers_are_compared_without_other_hashes(make):
    found = compared(make("counted"), method="fork")

    assert found.cause is Cause.HISTORY
    assert "Few.calls" in [change.name for change in found.changed]
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
