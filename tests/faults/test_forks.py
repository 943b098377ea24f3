"""Forks: of the consumer in the middle of an epoch, and of a worker in `__getitem__`."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from programs import run
from test_consumer_ends import CONSUMER
from victims import Full, value_of

from seqloader import OrderedEnqueuer

MID_EPOCH = (
    CONSUMER
    + """
from seqloader import ForkedEnqueuerError
from victims import value_of
enqueuer = OrderedEnqueuer(Full(40, nbytes=1 << 16), workers=2, max_queue_size=4)
iterator = iter(enqueuer)
held = [next(iterator) for _ in range(10)]
pids = sorted(workers())

def child():
    for attempt in (lambda: next(iterator), lambda: iter(enqueuer), enqueuer.get, enqueuer.peek,
                    enqueuer.start, enqueuer.join_end_of_epoch):
        try:
            attempt()
        except ForkedEnqueuerError as error:
            assert "fork" in str(error)
        else:
            raise AssertionError("it may be used in a fork")
    enqueuer.stop()
    assert [value_of(batch) for batch in held] == list(range(10))

forked = os.fork()
if forked == 0:
    child()
    CHILD
_, status = os.waitpid(forked, 0)
assert os.waitstatus_to_exitcode(status) == EXPECTED, status
rest = [value_of(next(iterator)) for _ in range(30)]
assert rest == list(range(10, 40)), rest
assert [value_of(batch) for batch in held] == list(range(10))
assert sorted(workers()) == pids, "the fork cost workers"
assert [value_of(batch) for batch in enqueuer] == list(range(40))
enqueuer.stop()
assert not workers()
tell("done")
"""
)

CHILD_ENDS = {
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "everything dropped": ("del iterator, enqueuer, held; import gc; gc.collect(); sys.exit(0)", 0),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    "a new enqueuer": (
        "assert [value_of(b) for b in OrderedEnqueuer(Full(), workers=2)] == list(range(12));"
        "sys.exit(0)",
        0,
    ),
    "writes to its batches": ("held[3][...] = held[3]; sys.exit(0)", 0),
}


@pytest.mark.parametrize("ends_by", CHILD_ENDS)
def test_fork_of_the_consumer_cannot_use_it_and_does_no_harm(ends_by, tmp_path):
    statement, status = CHILD_ENDS[ends_by]
    text = MID_EPOCH.replace("CHILD", statement).replace("EXPECTED", str(status))

    completed = run(text, tmp_path, PYTHONWARNINGS="default,ignore::DeprecationWarning")

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "done\n", "")


def test_fork_that_outlives_the_consumer_ends_normally(tmp_path):
    text = (
        CONSUMER
        + """
enqueuer = OrderedEnqueuer(Full(40, nbytes=1 << 16), workers=2)
iterator = iter(enqueuer)
held = [next(iterator) for _ in range(10)]
reader, writer = os.pipe()
forked = os.fork()
if forked == 0:
    os.close(writer)
    os.read(reader, 1)  # the consumer is gone
    assert all((batch == number).all() for number, batch in enumerate(held))
    Path("child").write_text("done")
    sys.exit(0)
os._exit(0)
"""
    )
    completed = run(text, tmp_path)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert (tmp_path / "child").read_text() == "done"  # stderr was its, too: it has ended


def test_pool_of_multiprocessing_beside_a_running_enqueuer(tmp_path):
    text = (
        CONSUMER
        + """
import multiprocessing
from victims import value_of
with OrderedEnqueuer(Full(40), workers=2) as enqueuer:
    iterator = iter(enqueuer)
    first = [value_of(next(iterator)) for _ in range(5)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        pool.close()
        pool.join()
    assert first + [value_of(batch) for batch in iterator] == list(range(40))
tell("done")
"""
    )
    completed = run(text, tmp_path, PYTHONWARNINGS="default,ignore::DeprecationWarning")

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "done\n", "")


class _Forks(Full):
    """Each `__getitem__` forks; the child leaves as `how` says, or returns like its parent."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def __getitem__(self, index: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            if self.how == "os._exit":
                os._exit(0)
            if self.how == "raise":
                raise RuntimeError("in the child")
            return super().__getitem__(index + 1000)
        os.waitpid(child, 0)
        return super().__getitem__(index)


@pytest.mark.parametrize("how", ["os._exit", "return", "raise"])
def test_fork_inside_getitem_never_answers_in_place_of_its_worker(how):
    with OrderedEnqueuer(_Forks(how), workers=2) as enqueuer:
        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(2)]

    assert delivered == [list(range(12))] * 2
    assert enqueuer.stats().respawns == 0


class _UsesPool(Full):
    def __getitem__(self, index: int) -> np.ndarray:
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        return super().__getitem__(index)


def test_pool_of_multiprocessing_inside_getitem_works():
    sequence = _UsesPool(4)
    with OrderedEnqueuer(sequence, workers=2, worker_env={"PYTHONWARNINGS": "ignore"}) as enqueuer:
        delivered = [value_of(batch) for batch in enqueuer]

    assert delivered == list(range(4))


def test_fork_start_method_inherits_what_cannot_be_pickled():
    class Unpicklable(Full):
        def __reduce__(self):
            raise TypeError("a handle of the operating system")

    with OrderedEnqueuer(Unpicklable(), workers=2, start_method="fork") as enqueuer:
        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(2)]

    assert delivered == [list(range(12))] * 2
