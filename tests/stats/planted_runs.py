"""Real runs in which one thing is wrong, and the verdicts on them.

PYTHONPATH=tests:. python tests/stats/planted_runs.py     prints each with its verdict
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from seqloader import OrderedEnqueuer, Sequence
from seqloader.memory.cpus import usable_cpus
from seqloader.run import judging
from seqloader.stats.verdict import Cause, Verdict

__all__ = ["RUNS", "run_all"]


class Planted(Sequence[Any]):
    """Batches that do what their index is told."""

    def __init__(self, length: int, work: Callable[[int], Any]) -> None:
        self.length, self.work = length, work

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        return self.work(index)


def computes(cpu_s: float, wanted: Any = None) -> Any:
    end_s = time.process_time() + cpu_s
    while time.process_time() < end_s:
        pass
    return np.zeros(100) if wanted is None else wanted


def sleeps(seconds: float) -> Any:
    time.sleep(seconds)
    return np.zeros(100)


def once(folder: Path, index: int) -> bool:
    """Whether this index is asked for the first time."""
    try:
        (folder / str(index)).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def run(
    sequence: Planted, *, step_s: float = 0.0, warm: bool = True, keep: bool = False, **options: Any
) -> Verdict:
    """The verdict on an epoch; on the second, where the start is not what it is about."""
    kept = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with OrderedEnqueuer(sequence, **options) as enqueuer:
            for _ in range(1 + warm):
                for batch in enqueuer:
                    if step_s:
                        time.sleep(step_s)
                    if keep:
                        kept.append(batch)
            return enqueuer.verdict()


def idle() -> Verdict:
    return run(Planted(30, lambda index: sleeps(0.001)), step_s=0.02, workers=2)


def compute() -> Verdict:
    return run(Planted(30, lambda index: computes(0.02)), workers=1)


def storage() -> Verdict:
    return run(Planted(40, lambda index: sleeps(0.02)), workers=2)


def small() -> Verdict:
    return run(Planted(3000, lambda index: np.zeros(8)), workers=2)


def large() -> Verdict:
    nothing = np.ones(5_000_000)
    return run(Planted(12, lambda index: nothing), workers=1)


def start() -> Verdict:
    sequence = Planted(20, lambda index: sleeps(0.002))
    return run(sequence, warm=False, workers=2, worker_init=lambda slot: time.sleep(0.5))


def crowd() -> Verdict:
    count = 4 * usable_cpus()
    return run(Planted(3 * count, lambda index: computes(0.01)), workers=count)


def threads() -> Verdict:
    count = max(2, usable_cpus())
    environment = {"OMP_NUM_THREADS": "8"}
    sequence = Planted(15 * count, lambda index: computes(0.01))
    return run(sequence, workers=count, worker_env=environment)


def memory() -> Verdict:
    batch = np.ones(100_000)
    with mock.patch.object(judging, "available_bytes", return_value=1_000_000):
        return run(Planted(40, lambda index: computes(0.01, batch)), workers=2)


def stragglers() -> Verdict:
    sequence = Planted(120, lambda index: sleeps(0.1 if 40 <= index < 50 else 0.003))
    return run(sequence, workers=2)


def window() -> Verdict:
    sequence = Planted(120, lambda index: sleeps(0.08 if index % 20 == 7 else 0.003))
    return run(sequence, workers=2, max_queue_size=3)


def holding() -> Verdict:
    batch = np.ones(250_000)
    sequence = Planted(60, lambda index: computes(0.002, batch))
    return run(sequence, warm=False, keep=True, workers=2, max_queue_size=4, start_method="fork")


def deaths() -> Verdict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def work(index: int) -> Any:
            if index % 5 == 2 and once(folder, index):
                os.kill(os.getpid(), signal.SIGKILL)
            return sleeps(0.002)

        return run(Planted(20, work), warm=False, workers=2)


def retries() -> Verdict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def work(index: int) -> Any:
            if index % 2 and once(folder, index):
                raise OSError("not this time")
            return sleeps(0.01)

        return run(Planted(60, work), warm=False, workers=2, retries=2)


RUNS: dict[str, tuple[Cause, Callable[[], Verdict]]] = {
    "the loop takes the time": (Cause.CONSUMER, idle),
    "a heavy __getitem__": (Cause.COMPUTE, compute),
    "a slow disk": (Cause.STORAGE, storage),
    "batches too small": (Cause.TRANSPORT, small),
    "batches too large": (Cause.TRANSPORT, large),
    "a short run": (Cause.START_UP, start),
    "more workers than CPUs": (Cause.OVERSUBSCRIPTION, crowd),
    "threads of a library": (Cause.OVERSUBSCRIPTION, threads),
    "memory is short": (Cause.MEMORY, memory),
    "one range of indices is slow": (Cause.STRAGGLERS, stragglers),
    "the queue is too short": (Cause.WINDOW, window),
    "the loop keeps batches": (Cause.HOLDING, holding),
    "workers die": (Cause.DEATHS, deaths),
    "batches raise": (Cause.RETRIES, retries),
}
"""What is wrong -> the cause to be named, and the run."""


def run_all() -> dict[str, Verdict]:
    """The verdicts on all runs."""
    return {name: plant() for name, (_, plant) in RUNS.items()}


if __name__ == "__main__":
    right = 0
    for name, (cause, plant) in RUNS.items():
        verdict = plant()
        right += verdict.cause is cause
        print(f"{'ok ' if verdict.cause is cause else '-- '} {name:30} {verdict}", flush=True)
    print(f"{right} of {len(RUNS)} named right")
    sys.exit(right < len(RUNS) - 2)
