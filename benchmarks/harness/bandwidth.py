"""How fast memory is written on this machine, now: the limit of whatever moves large batches.

The buffers are shared, mapped and used before, as those of a good transport are. There are as many
as there are batches in flight, and they are written in turn: one buffer alone would stay in the
processor's cache, which no queue of batches does.
"""

from __future__ import annotations

import mmap
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.together import meet, together

__all__ = ["bandwidth"]

TRIAL_S = 0.08
TRIALS = 3


def bandwidth(nbytes: int, processes: int, buffers: int) -> dict[str, float]:
    """GB/s of `processes` at once, together; they share out the `buffers` of `nbytes` each.

    What counts is the bytes that arrive in the buffers, so a fill that is then copied counts once.
    """
    each = together(processes, _of_one, nbytes, max(1, buffers // processes))
    return {name: sum(one[name] for one in each) for name in each[0]}


def _of_one(_: int, nbytes: int, buffers: int) -> dict[str, float]:
    elements = nbytes // 4
    source = np.full(elements, 1.0, np.float32)
    scratch = np.full(elements, 2.0, np.float32)
    targets = [np.frombuffer(mmap.mmap(-1, nbytes), np.float32, elements) for _ in range(buffers)]
    for target in targets:
        target.fill(3.0)  # the first touch is not what is measured

    def fill_and_copy(target: Any) -> None:
        scratch.fill(4.0)
        np.copyto(target, scratch)

    def copy_and_copy(target: Any) -> None:
        np.copyto(scratch, source)
        np.copyto(target, scratch)

    writes: dict[str, Callable[[Any], object]] = {
        "np_full_gb_per_s": lambda _: np.full(elements, 5.0, np.float32),
        "fill_gb_per_s": lambda target: target.fill(4.0),
        "copy_gb_per_s": lambda target: np.copyto(target, source),
        "fill_and_copy_gb_per_s": fill_and_copy,
        "copy_and_copy_gb_per_s": copy_and_copy,
    }
    figures = {}
    for name, write in writes.items():
        meet()
        figures[name] = nbytes / _seconds_each(write, targets) / 1e9
    return figures


def _seconds_each(write: Callable[[Any], object], targets: list[Any]) -> float:
    """Median over trials of some whole turns through the buffers."""
    trials_s = []
    for _ in range(TRIALS):
        turns = 0
        begun_s = now_s = time.perf_counter()
        while now_s - begun_s < TRIAL_S:
            for target in targets:
                write(target)
            turns += 1
            now_s = time.perf_counter()
        trials_s.append((now_s - begun_s) / (turns * len(targets)))
    return statistics.median(trials_s)
