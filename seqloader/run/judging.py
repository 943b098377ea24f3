"""What the judge is told of a running enqueuer, when somebody wants a verdict.

Nothing of it is gathered before: counters are there anyway, and what workers use is asked of the
system now.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.executors.protocol import Measured
from seqloader.memory.cpus import cpu_quota, cpus_by_affinity, usable_cpus
from seqloader.memory.headroom import available_bytes
from seqloader.stats.facts import Facts, Stragglers, straggling
from seqloader.stats.judge import judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqloader.run.epoch import Epoch
    from seqloader.run.options import Options
    from seqloader.run.session import Session
    from seqloader.stats.stats import Stats
    from seqloader.stats.verdict import Verdict

__all__ = ["facts_of", "verdict_of"]


def verdict_of(stats: Stats, session: Session, epoch: Epoch | None) -> Verdict:
    """Of the epoch that these counts are of, or of the one under way in them."""
    return judge(facts_of(stats.epoch or stats, session, epoch))


def facts_of(stats: Stats, session: Session, epoch: Epoch | None) -> Facts:
    """The facts.

    Args:
        stats: Of one epoch.
        session: Whose workers, window and options these are.
        epoch: Under way, where it is.
    """
    workers, queue, options = session.workers, session.max_queue_size, session.options
    used = _used(session.executor)
    work = _work_of(stats, epoch, workers, used.wanted)
    quota, count = cpu_quota(), stats.delivered or 1
    nbytes = stats.nbytes / count
    loading = used.private_bytes + (queue + 2 * workers + 1) * nbytes + stats.held_bytes
    available = available_bytes()
    return Facts(
        workers=workers,
        queue=queue,
        cpus=usable_cpus(),
        batches=stats.delivered,
        batch_s=max(_span_s(stats), 1e-9) / count,
        nbytes=nbytes,
        batches_per_epoch=None if epoch is None else epoch.plan.count,
        threads=options.executor == "thread",
        tuned=session.size.tuner is not None,
        quota=quota if quota is not None and quota < cpus_by_affinity() else None,
        wait_s=stats.waited_s / count,
        hand_s=stats.handed_s / count,
        step_s=stats.loop_s / count,
        first_s=stats.first_s,
        blocked_share=_share(stats.blocked_s, stats.waited_s - stats.first_s),
        library_threads=_library_threads(options, workers),
        respawns=stats.respawns,
        memory_deaths=stats.memory_deaths,
        shortages=stats.shortages,
        retried=max(0, stats.retried - stats.respawns),
        memory_bytes=loading,
        available_bytes=None if available is None else available + loading,
        held_batches=stats.held_batches,
        held_bytes=stats.held_bytes,
        **work._asdict(),
    )


def _span_s(stats: Stats) -> float:
    return stats.waited_s + stats.handed_s + stats.loop_s


# --- what workers did -----------------------------------------------------------------------------


class _Work(NamedTuple):
    """Facts about the batches that were computed, by their names there."""

    busy_s: float
    busy_share: float
    encoded_s: float | None
    work_cpus: float | None
    wants_cpus: float | None
    cpus_wanted: float
    typical_s: float
    slowest_s: float
    stragglers: Stragglers | None


def _work_of(stats: Stats, epoch: Epoch | None, workers: int, wanted: float) -> _Work:
    """`wanted`: how many times the CPU time that workers had they wanted."""
    computed = max(1, stats.computed)
    busy_s = sum(stats.busy_s.values())
    # While the first workers start, they are not idle.
    serving_s = workers * (_span_s(stats) - max(0.0, stats.first_s - busy_s / computed))
    busy_share = _share(busy_s, serving_s)
    work_cpus = stats.cpu_s / busy_s if stats.cpu_s is not None and busy_s > 0 else None
    wants_cpus = None if work_cpus is None else work_cpus * wanted
    slow = [seconds for _, seconds in stats.slowest]
    length = None if epoch is None else epoch.plan.length
    return _Work(
        busy_s=busy_s / computed,
        busy_share=busy_share,
        encoded_s=None if stats.encoded_s is None else stats.encoded_s / computed,
        work_cpus=work_cpus,
        wants_cpus=wants_cpus,
        # What is not known to wait is taken to compute.
        cpus_wanted=(1.0 if wants_cpus is None else wants_cpus) * busy_share * workers,
        typical_s=_typical(slow, busy_s, computed),
        slowest_s=slow[min(len(slow) - 1, computed // 100)] if slow else 0.0,
        stragglers=straggling(
            stats.slowest,
            count=computed,
            busy_s=busy_s,
            length=length or 1 + max([stats.delivered, *(index for index, _ in stats.slowest)]),
        ),
    )


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole > 0 else 0.0


def _typical(slow: list[float], busy_s: float, computed: int) -> float:
    """A typical batch's time, where only the slowest are known one by one."""
    if computed >= 2 * len(slow):
        return max(0.0, busy_s - sum(slow)) / max(1, computed - len(slow))
    return sorted(slow)[len(slow) // 2]


# --- what workers use -----------------------------------------------------------------------------


class _Used(NamedTuple):
    """Of the system, by all workers now."""

    private_bytes: int = 0
    wanted: float = 1.0
    """How many times the CPU time that they had they wanted: others had the rest."""


def _used(executor: Any) -> _Used:
    if not isinstance(executor, Measured):
        return _Used()
    found = []
    with suppress(RuntimeError):  # another thread starts a worker
        found = [usage for usage in executor.usage().values() if usage is not None]
    cpu_s = sum(usage.cpu_s for usage in found)
    waited_s = sum(usage.cpu_waited_s for usage in found)
    nbytes = sum(usage.private_bytes for usage in found)
    return _Used(nbytes, 1.0 + waited_s / cpu_s if cpu_s > 0 else 1.0)


def _library_threads(options: Options, workers: int) -> int:
    """For BLAS and OpenMP, as the workers are told."""
    if options.executor != "process" or not workers:
        return 1
    if options.threads_per_worker is not None and not options.worker_env:
        return options.threads_per_worker
    from seqloader.executors.process.executor import THREAD_VARIABLES

    told = str(options.threads_per_worker or 1)
    environments: list[Mapping[str, str]] = [options.worker_env]
    if options.threads_per_worker is None:
        environments.append(os.environ)
    most = 1
    for name in THREAD_VARIABLES:
        value = next((each[name] for each in environments if name in each), told)
        most = max(most, int(value) if value.isdecimal() else 1)
    return most
