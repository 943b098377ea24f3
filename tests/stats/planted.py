"""Facts of one run for each cause, as a quiet machine with 4 CPUs would show them.

A thousand batches of 1 MB, 10 ms each, two workers; then the one thing that is wrong.
"""

from __future__ import annotations

from typing import Any

from seqloader.stats.facts import Facts, Stragglers
from seqloader.stats.verdict import Cause

__all__ = ["PLANTED", "facts"]

MB = 1_000_000
GB = 1_000_000_000


def facts(**changed: Any) -> Facts:
    """Workers that compute all the time, and a loop that waits for them half of its time."""
    plain: dict[str, Any] = {
        "workers": 2,
        "queue": 10,
        "cpus": 4,
        "batches": 1000,
        "batch_s": 0.0051,
        "nbytes": MB,
        "batches_per_epoch": 1000,
        "wait_s": 0.0025,
        "hand_s": 0.0001,
        "step_s": 0.0025,
        "first_s": 0.2,
        "blocked_share": 0.0,
        "busy_s": 0.010,
        "busy_share": 0.97,
        "encoded_s": 0.0005,
        "work_cpus": 1.0,
        "wants_cpus": 1.0,
        "cpus_wanted": 1.9,
        "typical_s": 0.0098,
        "slowest_s": 0.012,
        "memory_bytes": 0.2 * GB,
        "available_bytes": 16 * GB,
        "held_batches": 1,
        "held_bytes": MB,
    }
    return Facts(**{**plain, **changed})


PLANTED: dict[str, tuple[Cause, Facts]] = {
    "before the first batch": (Cause.UNKNOWN, facts(batches=0)),
    "the loop takes the time": (Cause.CONSUMER, facts(wait_s=0.0002, step_s=0.012)),
    "workers die": (Cause.DEATHS, facts(respawns=7)),
    "batches raise": (Cause.RETRIES, facts(retried=250)),
    "memory is short": (Cause.MEMORY, facts(memory_bytes=14 * GB)),
    "memory has run out": (Cause.MEMORY, facts(respawns=2, memory_deaths=2)),
    "the loop keeps batches": (Cause.HOLDING, facts(held_batches=400, held_bytes=400 * MB)),
    "a short run": (Cause.START_UP, facts(batches=40, first_s=0.9, wait_s=0.03)),
    "more workers than CPUs": (
        Cause.OVERSUBSCRIPTION,
        facts(workers=8, cpus_wanted=7.7, busy_s=0.021, work_cpus=0.5),
    ),
    "threads of a library": (
        Cause.OVERSUBSCRIPTION,
        facts(cpus_wanted=3.9, work_cpus=2.0, wants_cpus=2.0),
    ),
    "a quota of CPU time": (
        Cause.OVERSUBSCRIPTION,
        facts(workers=4, cpus=2, quota=1.5, cpus_wanted=3.9, work_cpus=0.4),
    ),
    "batches too small": (
        Cause.TRANSPORT,
        facts(
            nbytes=1_280.0,
            batch_s=24e-6,
            wait_s=3e-6,
            hand_s=18e-6,
            step_s=3e-6,
            first_s=0.0,
            busy_s=9e-6,
            encoded_s=4e-6,
            busy_share=0.3,
        ),
    ),
    "batches too large": (Cause.TRANSPORT, facts(nbytes=150 * MB, encoded_s=0.008)),
    "one range of indices is slow": (
        Cause.STRAGGLERS,
        facts(stragglers=Stragglers(300, 331, 32, 0.200, 0.010), blocked_share=0.9),
    ),
    "the queue is too short": (
        Cause.WINDOW,
        facts(blocked_share=0.8, busy_share=0.5, typical_s=0.005, slowest_s=0.120),
    ),
    "a slow disk": (Cause.STORAGE, facts(work_cpus=0.05, wants_cpus=0.06, cpus_wanted=0.1)),
    "a heavy __getitem__": (Cause.COMPUTE, facts()),
    "no workers": (Cause.COMPUTE, facts(workers=0)),
}
"""What is wrong -> the cause to be named, and the facts."""
