"""What every executor must pass: the rules of `seqloader.executors.protocol`, as tests.

Whoever writes an executor inherits them (pytest finds the tests by the class's name):

    pytest.register_assert_rewrite("seqloader.testing")  # in conftest.py: better messages

    from seqloader.testing import ExecutorConformance

    class TestMyExecutor(ExecutorConformance):
        def make_executor(self):
            return MyExecutor(workers=2)

`DiagnosticsConformance` is inherited in the same way, for an executor that has `Diagnostics`,
`ResizableConformance` for one that is `Resizable`, and `RunsAheadConformance` for one that
`RunsAhead`.

Nothing here waits for luck: batches that must not be done yet wait at a `Gate`, a folder that all
processes see, and every call that could hang is made within a deadline, after which the test fails
and shows what each thread was doing.
"""

from __future__ import annotations

from seqloader.testing.ahead import RunsAheadConformance
from seqloader.testing.answers import AnswerRules
from seqloader.testing.deadline import DEADLINE_S, collect, open_all, tickets, within
from seqloader.testing.diagnostics import DiagnosticsConformance
from seqloader.testing.gate import Gate
from seqloader.testing.resizing import ResizableConformance
from seqloader.testing.standstill import StandstillRules

__all__ = [
    "DEADLINE_S",
    "DiagnosticsConformance",
    "ExecutorConformance",
    "Gate",
    "ResizableConformance",
    "RunsAheadConformance",
    "collect",
    "open_all",
    "tickets",
    "within",
]


class ExecutorConformance(AnswerRules, StandstillRules):
    """Tests of one executor. Inherit, and override `make_executor`."""
