"""What an enqueuer has done, in numbers, and what a judge makes of them.

    counters   changed by the consumer for every batch, and nothing else is
    stats      a snapshot of them, for the user
    facts      of one stretch of loading, from whoever has measured it
    judge      facts in, a verdict out; some of its questions are in mishaps
    verdict    what it says
    words      figures in words

All but the counters is imported when somebody asks.
"""

from __future__ import annotations

from seqloader.stats.counters import Counters
from seqloader.stats.stats import Slow, Stats

__all__ = ["Counters", "Slow", "Stats"]
