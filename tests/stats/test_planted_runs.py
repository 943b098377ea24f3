"""Whole runs in which one thing is wrong: the verdict names it, and the change that fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from stats.planted_runs import RUNS, run_all
from stats.simulated import Clock, Work, Workers

from seqloader import OrderedEnqueuer
from seqloader.run import delivery, epochs, judging
from seqloader.stats.verdict import Cause, Verdict

MB = 1_000_000
GB = 1_000_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The consumer's; and a machine with 4 CPUs and 16 GB."""
    made = Clock()
    for module in (delivery, epochs):
        monkeypatch.setattr(module, "monotonic", made)
    monkeypatch.setattr(judging, "usable_cpus", lambda: 4)
    monkeypatch.setattr(judging, "cpu_quota", lambda: None)
    monkeypatch.setattr(judging, "available_bytes", lambda: 16 * GB)
    return made


def verdict_on(
    clock: Clock,
    work: Callable[[int], Work],
    *,
    workers: int = 2,
    length: int = 200,
    step_s: float = 0.0,
    warm: bool = True,
    executor: dict[str, Any] | None = None,
    **options: Any,
) -> Verdict:
    """On an epoch; on the second, where the start is not what it is about."""
    pool = Workers(clock, workers, work, **(executor or {}))
    with OrderedEnqueuer(range(length), executor=pool, **options) as enqueuer:  # type: ignore[type-var]
        for _ in range(1 + warm):
            for _ in enqueuer:
                clock.now_s += step_s
        return enqueuer.verdict()


def plain(index: int) -> Work:
    return Work(0.01)


PLANTED: dict[str, tuple[Cause, str, dict[str, Any]]] = {
    "the loop takes the time": (
        Cause.CONSUMER,
        "only a faster training step",
        {"work": plain, "step_s": 0.02},
    ),
    "a heavy __getitem__": (
        Cause.COMPUTE,
        "Take more workers than 2, up to the 4 CPUs",
        {"work": plain},
    ),
    "a slow disk": (
        Cause.STORAGE,
        "Take more workers than 2",
        {"work": lambda index: Work(0.02, cpus=0.05)},
    ),
    "batches too small": (
        Cause.TRANSPORT,
        "Make batches larger",
        {"work": lambda index: Work(9e-6, hand_s=20e-6), "length": 3000},
    ),
    "batches too large": (
        Cause.TRANSPORT,
        "seqloader.empty",
        {"work": lambda index: Work(0.05, encode_s=0.04, nbytes=40 * MB)},
    ),
    "a short run": (
        Cause.START_UP,
        "Keep one enqueuer for all epochs",
        {"work": plain, "length": 20, "warm": False, "executor": {"start_s": 2.0}},
    ),
    "more workers than CPUs": (
        Cause.OVERSUBSCRIPTION,
        "Take no more than 4",
        {"work": lambda index: Work(0.02, cpus=0.5, wants=2.0), "workers": 8},
    ),
    "threads of a library": (
        Cause.OVERSUBSCRIPTION,
        "threads_per_worker=1",
        {"work": lambda index: Work(0.02, cpus=2.0)},
    ),
    "memory is short": (
        Cause.MEMORY,
        "max_queue_bytes",
        {"work": plain, "executor": {"worker_bytes": 40 * GB}},
    ),
    "one range of indices is slow": (
        Cause.STRAGGLERS,
        "enqueuer.compute(40)",
        {"work": lambda index: Work(0.1 if 40 <= index < 50 else 0.003, cpus=0.1)},
    ),
    "the queue is too short": (
        Cause.WINDOW,
        "Take max_queue_size=",
        {
            "work": lambda index: Work(0.08 if index % 20 == 7 else 0.003, cpus=0.1),
            "max_queue_size": 3,
        },
    ),
    "the loop keeps batches": (
        Cause.HOLDING,
        "Let go of each batch",
        {"work": lambda index: Work(0.01, nbytes=MB), "executor": {"kept": True}},
    ),
    "workers die": (
        Cause.DEATHS,
        "they name batch and signal",
        {
            "work": lambda index: Work(0.01, dies=index % 20 == 7),
            "executor": {"start_s": 0.5},
            "warm": False,
        },
    ),
    "batches raise": (
        Cause.RETRIES,
        "Find out what raises with retries=0",
        {"work": lambda index: Work(0.01, raises=index % 2 == 1), "warm": False, "retries": 2},
    ),
}
"""What is wrong -> the cause to be named, words of the change, and the run."""


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.filterwarnings("ignore::seqloader.WorkerLostWarning")
def test_what_is_planted_in_a_run_is_named_with_the_change_that_fits(clock, planted):
    cause, change, run = PLANTED[planted]

    verdict = verdict_on(clock, **run)

    assert verdict.cause is cause, str(verdict)
    assert change in verdict.advice


@pytest.mark.parametrize("planted", [name for name in PLANTED if name != "batches too small"])
@pytest.mark.filterwarnings("ignore::seqloader.WorkerLostWarning")
def test_a_loop_that_hardly_waits_is_not_told_to_change_its_loader(clock, planted):
    _, _, run = PLANTED[planted]

    verdict = verdict_on(clock, **{**run, "step_s": 3.0})

    assert verdict.cause is Cause.CONSUMER, str(verdict)


@pytest.mark.soak  # what a machine shows that other programs use as well is no claim of ours
def test_nearly_all_causes_are_named_in_real_processes():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verdicts = run_all()

    right = [name for name, verdict in verdicts.items() if verdict.cause is RUNS[name][0]]
    told = "\n".join(f"{name}: {verdict}" for name, verdict in verdicts.items())
    assert len(right) >= len(RUNS) - 2, told
    assert verdicts["the loop takes the time"].cause is Cause.CONSUMER, told
