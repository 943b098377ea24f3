"""The rules of `seqloader.executors.protocol`, as tests that every executor inherits."""

from __future__ import annotations

from seqloader.testing.answers import AnswerRules
from seqloader.testing.standstill import StandstillRules

__all__ = ["ExecutorConformance"]


class ExecutorConformance(AnswerRules, StandstillRules):
    """Tests of one executor. Inherit, and override `make_executor`."""
