"""What a report says in words and tables: facts in, rows out. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqloader.command.report.facts import Facts

__all__ = ["Slow", "duration", "headline", "histogram", "slowest", "times"]

MOST_BARS = 14


@dataclass(frozen=True)
class Slow:
    """An index whose batches took long."""

    index: int
    epoch: int
    """Of the one that took longest."""
    longest_s: float
    mean_s: float
    count: int
    raised: int

    @property
    def line(self) -> str:
        """What computes it again."""
        return f"enqueuer.compute({self.index}, epoch={self.epoch})"


def times(facts: Facts) -> list[tuple[str, float, str]]:
    """Where the consumer's time went: (what, seconds, which colour)."""
    waited_s = facts.waited_s
    handed_s, hooks_s = facts.spent_s("hand over"), 0.0
    hooks_s = facts.spent_s("on_epoch_begin") + facts.spent_s("on_epoch_end")
    loop_s = facts.spent_s("loop")
    rest_s = max(0.0, facts.length_s - waited_s - handed_s - hooks_s - loop_s)
    return [
        ("waited for batches", waited_s, "wait"),
        ("hand-over", handed_s, "hand"),
        ("your loop, between batches", loop_s, "loop"),
        ("hooks", hooks_s, "hook"),
        ("else: starting, sending the Sequence, and what was not traced", rest_s, "other"),
    ]


def headline(facts: Facts) -> str:
    """The trace in one sentence, without a judgement."""
    if not facts.delivered or facts.length_s <= 0:
        return "No batch was delivered while the trace was written."
    rate = facts.delivered / facts.length_s
    waited = 100 * facts.waited_s / facts.length_s
    busy_s = sum(batch.busy_s * batch.weight for batch in facts.batches)
    lanes = max(1, facts.workers)
    busy = min(100.0, 100 * busy_s / (facts.length_s * lanes))
    workers = "1 worker" if lanes == 1 else f"{lanes} workers"
    return (
        f"{facts.delivered:,} batches in {facts.length_s:.1f} s, {rate:,.1f} batches/s: the "
        f"consumer waited {waited:.0f} % of the time for them, and {workers} worked {busy:.0f} % "
        "of it."
    )


def histogram(facts: Facts) -> tuple[list[str], list[int]]:
    """How many batches took how long: the upper ends of the bars, on a scale of powers, and the
    counts."""
    taken = [(batch.busy_s, batch.weight) for batch in facts.batches if batch.busy_s > 0]
    if not taken:
        return [], []
    low, high = min(taken)[0], max(taken)[0]
    span = max(1e-9, math.log(high / low))
    bars = min(MOST_BARS, max(1, math.ceil(span / math.log(1.25))))
    counts = [0] * bars
    for busy_s, weight in taken:
        counts[min(bars - 1, int(bars * math.log(busy_s / low) / span))] += weight
    ends = [low * math.exp(span * (n + 1) / bars) for n in range(bars)]
    return [duration(end) for end in ends], counts


def slowest(facts: Facts, most: int = 20) -> list[Slow]:
    """The indices whose batches took longest, the longest first."""
    found: dict[int, Slow] = {}
    for batch in facts.batches:
        known = found.get(batch.index)
        if known is None:
            known = Slow(batch.index, batch.epoch, 0.0, 0.0, 0, 0)
        total_s = known.mean_s * known.count + batch.busy_s
        count = known.count + 1
        is_longer = batch.busy_s >= known.longest_s
        found[batch.index] = Slow(
            batch.index,
            batch.epoch if is_longer else known.epoch,
            max(batch.busy_s, known.longest_s),
            total_s / count,
            count,
            known.raised + bool(batch.raised),
        )
    return sorted(found.values(), key=lambda slow: -slow.longest_s)[:most]


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
