"""How long the suite measures, in full and in three minutes."""

from __future__ import annotations

from harness.cases import Pace

__all__ = ["FULL", "QUICK", "pace"]

FULL = Pace(rounds=3, warmup_s=0.4, measure_s=1.5, min_batches=6, time_limit_s=60.0)
QUICK = Pace(rounds=1, warmup_s=0.1, measure_s=0.4, min_batches=4, time_limit_s=30.0)


def pace(quick: bool) -> Pace:
    """The pace of every case, where its chapter has no reason for another."""
    return QUICK if quick else FULL
