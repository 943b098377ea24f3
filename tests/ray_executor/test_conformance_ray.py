"""The rules of the executor protocols, kept by actors of Ray on this machine."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="the Ray executor needs Ray")

from seqloader.executors.ray.executor import RayExecutor
from seqloader.testing import (
    DEADLINE_S,
    DiagnosticsConformance,
    ExecutorConformance,
    ResizableConformance,
    open_all,
    within,
)
from seqloader.testing.deadline import answers_to, tickets
from seqloader.testing.sequences import Numbered

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    pytest.mark.leaks_ok(reason="Ray keeps threads, files and processes of its own"),
]


class TestRayExecutor(ExecutorConformance, DiagnosticsConformance, ResizableConformance):
    def make_executor(self):
        return RayExecutor(2, num_cpus=0)

    def test_an_opened_batch_outlives_later_ones_and_the_executor(self):
        """As for all executors, but that its batches are read-only without `copy=True`."""
        executor = self.start(Numbered(size=1 << 16))

        kept = open_all(answers_to(executor, tickets(1, first=1)))[1]
        open_all(answers_to(executor, tickets(50, first=2)))
        within(DEADLINE_S, executor.stop, 5.0)

        assert kept.tolist() == [1] * (1 << 16)
        assert not kept.flags.writeable


class TestRayExecutorWithCopies(ExecutorConformance):
    def make_executor(self):
        return RayExecutor(1, num_cpus=0, copy=True)
