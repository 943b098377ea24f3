"""What an executor may have beside its duties: which of ours has it, what is known of others."""

from __future__ import annotations

import numpy as np
import pytest

from seqloader import OrderedEnqueuer, Sequence
from seqloader.executors.diagnostics import Diagnostics, diagnostics_of
from seqloader.executors.inline import InlineExecutor
from seqloader.executors.process.executor import ProcessExecutor
from seqloader.executors.protocol import Executor, RunsAhead, SharesGenerators, turn_of
from seqloader.executors.thread import ThreadExecutor
from seqloader.tickets import Ticket


class Drawn(Sequence):
    def __init__(self):
        self.rng = np.random.default_rng()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.rng.integers(1 << 62, size=2)


class Dutiful:
    """Does what an executor must, and no more."""

    workers = 0

    def __init__(self):
        inner = InlineExecutor()
        self.start, self.submit, self.wait = inner.start, inner.submit, inner.wait
        self.collect, self.alarmed, self.load = inner.collect, inner.alarmed, inner.load
        self.discard, self.reset, self.wake = inner.discard, inner.reset, inner.wake
        self.kill, self.stop, self.abandon = inner.kill, inner.stop, inner.abandon


class Weighing(InlineExecutor, Diagnostics):
    """Tells one thing of itself."""

    def held_bytes(self):
        return 4096


@pytest.mark.parametrize(
    ("executor", "tells", "shares", "ahead"),
    [
        (InlineExecutor(), False, False, False),
        (ThreadExecutor(1), True, True, False),
        (ProcessExecutor(1, tickets_ahead=1), True, False, True),
        (Dutiful(), False, False, False),
        (Weighing(), True, False, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_executor_has_what_it_says_it_has(executor, tells, shares, ahead):
    assert isinstance(executor, Executor)
    assert isinstance(executor, Diagnostics) == tells
    assert isinstance(executor, SharesGenerators) == shares
    assert isinstance(executor, RunsAhead) == ahead


@pytest.mark.parametrize("executor", [None, Dutiful()], ids=["none", "dutiful"])
def test_nothing_is_known_of_an_executor_that_tells_nothing(executor):
    known = diagnostics_of(executor)

    assert (known.held_batches(), known.held_bytes()) == (0, 0)
    assert (known.holder(Ticket(0, 0, 0)), known.busy(), known.edited()) == (None, [], [])
    with turn_of(executor):
        pass


def test_an_executor_with_no_more_than_its_duties_is_enough():
    with OrderedEnqueuer(Drawn(), executor=Dutiful(), seed=3) as enqueuer:
        batches = [batch.tolist() for batch in enqueuer]

        assert batches[2] == enqueuer.compute(2).tolist()
        assert enqueuer.stats().held_bytes == 0


def test_an_executor_need_not_know_all_that_it_could_tell():
    with OrderedEnqueuer(Drawn(), executor=Weighing()) as enqueuer:
        list(enqueuer)

        assert enqueuer.stats().held_bytes == 4096
    assert diagnostics_of(Weighing()).busy() == []
