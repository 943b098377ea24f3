"""The rules of both executor protocols, kept by worker processes."""

from __future__ import annotations

from seqloader.executors.process.executor import ProcessExecutor
from seqloader.testing import (
    DiagnosticsConformance,
    ExecutorConformance,
    ResizableConformance,
    RunsAheadConformance,
)

AHEAD = 5_000
"""As many tickets as a test of the suite submits before it collects."""


class TestProcessExecutor(
    ExecutorConformance, DiagnosticsConformance, ResizableConformance, RunsAheadConformance
):
    def make_executor(self):
        return ProcessExecutor(2, tickets_ahead=AHEAD)


class TestProcessExecutorWithCopies(ExecutorConformance):
    def make_executor(self):
        return ProcessExecutor(1, tickets_ahead=AHEAD, copy=True)


class TestProcessExecutorThatForks(
    ExecutorConformance, DiagnosticsConformance, ResizableConformance
):
    def make_executor(self):
        return ProcessExecutor(2, tickets_ahead=AHEAD, start_method="fork")


class TestProcessExecutorOfAZygote(
    ExecutorConformance, DiagnosticsConformance, ResizableConformance, RunsAheadConformance
):
    def make_executor(self):
        return ProcessExecutor(2, tickets_ahead=AHEAD, start_method="zygote")
