"""Real runs in which one thing is wrong: the verdict names it."""

from __future__ import annotations

import pytest
from stats.planted_runs import RUNS, run_all

from seqloader.stats.verdict import Cause


@pytest.mark.slow
def test_nearly_all_planted_causes_are_named_and_an_idle_loader_is_not_blamed():
    verdicts = run_all()

    right = [name for name, verdict in verdicts.items() if verdict.cause is RUNS[name][0]]
    told = "\n".join(f"{name}: {verdict}" for name, verdict in verdicts.items())
    assert len(right) >= len(RUNS) - 2, told  # other programs take CPUs, too
    assert verdicts["the loop takes the time"].cause is Cause.CONSUMER, told
