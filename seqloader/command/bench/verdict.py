"""What limits the loading: which measurement is judged, and what the judge is told of it.

The judge itself is that of running enqueuers: stats/judge.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from seqloader.command.bench.recommendation import choose
from seqloader.stats.facts import Beside, Facts
from seqloader.stats.judge import judge
from seqloader.stats.verdict import Cause, Verdict

if TYPE_CHECKING:
    from seqloader.command.bench.figures import Facts as Measured
    from seqloader.command.bench.figures import Figures

__all__ = ["judge_bench", "judged_row"]

FALLS_BACK: Final = 0.85
"""Of the best rate: what the most workers reach, at most, where they are in each other's way."""
WAITS: Final = 0.5
"""CPUs that the plain loop keeps busy, at most, where it mainly waits."""
WORSE: Final = (Cause.CONSUMER, Cause.MEMORY, Cause.START_UP)
"""What is said rather than that more workers than were chosen are too many."""


def judged_row(measured: Measured) -> Figures:
    """The row that the verdict is about.

    The one to be recommended; where that has no workers, and no step is fed, the fastest with
    workers: the verdict says why they do not help.
    """
    chosen = choose(measured)
    with_workers = [row for row in measured.rows if row.workers]
    if chosen.workers or not with_workers or measured.feeds_the_step(chosen):
        return chosen
    return min(with_workers, key=measured.period_s)


def judge_bench(measured: Measured) -> Verdict | None:
    """The verdict; None where nothing can be said, because no worker was measured."""
    row = judged_row(measured)
    if not row.workers and not measured.feeds_the_step(row):
        return None
    verdict = judge(_facts(measured, row))
    if verdict.cause not in WORSE or _is_busy_consumer(measured, row, verdict):
        verdict = _crowded(measured, row) or verdict
    return replace(verdict, doubt=_doubt(measured))


def _is_busy_consumer(measured: Measured, row: Figures, verdict: Verdict) -> bool:
    return verdict.cause is Cause.CONSUMER and not measured.feeds_the_step(row)


def _crowded(measured: Measured, row: Figures) -> Verdict | None:
    """That the most workers measured are in each other's way, if they are."""
    best = max(measured.rows, key=lambda each: each.batches_per_s)
    most = measured.rows[-1]
    if most is row or most.batches_per_s > FALLS_BACK * best.batches_per_s:
        return None
    verdict = judge(replace(_facts(measured, most), wait_s=None, batches_per_epoch=None))
    too_many = verdict.cause is Cause.OVERSUBSCRIPTION and (most.workers or 0) > measured.cpus
    return verdict if too_many else None


def _doubt(measured: Measured) -> str:
    if not measured.is_disturbed:
        return ""
    return f"Other programs kept {measured.others:.1f} CPUs: measure again"


def _facts(measured: Measured, row: Figures) -> Facts:
    work, loop = measured.work, measured.loop
    waits = loop.cpus <= (WAITS / 2 if measured.is_disturbed else WAITS)
    beside = Beside(
        loop_s=loop.batch_s,
        startup_s=row.startup_s,
        loop_startup_s=loop.startup_s,
        noise=max(loop.spread or 0.0, row.spread or 0.0),
        most_workers=measured.rows[-1].workers or 0,
        disturbed=measured.is_disturbed,
    )
    facts = Facts(
        workers=row.workers or 0,
        queue=row.queue,
        cpus=measured.cpus,
        batches=1,
        batch_s=row.batch_s,
        nbytes=row.nbytes,
        batches_per_epoch=measured.batches_per_epoch,
        threads=measured.executor == "thread",
        wait_s=row.wait_s if measured.step_s is not None else None,
        step_s=measured.step_s or 0.0,
        consumer_s=row.consumer_s,
        busy_s=row.busy_s,
        busy_share=row.busy_share,
        wants_cpus=0.0 if waits else 1.0,
        cpus_wanted=row.cpus,
        memory_bytes=row.memory_bytes,
        available_bytes=measured.available_bytes,
        beside=beside,
    )
    if work is None:
        return facts
    return replace(
        facts,
        busy_s=work.both_s,
        encoded_s=work.handing_s,
        work_cpus=work.cpus,
        typical_s=work.typical_s + work.handing_s,
        slowest_s=work.slowest_s + work.handing_s,
    )
