"""Does a worker grow from epoch to epoch? The same batches, round after round, in one process."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from seqloader.command.check.facts import Growth
from seqloader.command.check.growth import bytes_per_call, grows
from seqloader.command.check.probe import Task
from seqloader.memory.headroom import available_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqloader.command.check.attributes import Change
    from seqloader.command.check.facts import Seen
    from seqloader.command.check.observing import Bench
    from seqloader.command.check.probe import Observation

__all__ = ["weigh_rounds"]

FEWEST_ROUNDS = 4
MOST_ROUNDS = 200
MOST_CALLS = 4000
POINTS = 12
"""How often the process is weighed: looking takes some milliseconds, and collects garbage."""
BETWEEN_BYTES = 64_000_000
"""Of batches, between two looks, if each were kept: then it is weighed more often."""
MOST_HELD_BYTES = 256_000_000
"""Of different batches: a cache of them all would become as large."""
MOST_GROWN_BYTES = 1_000_000_000
"""A worker that has grown by so much needs not be watched any longer."""
MOST_GROWN_SHARE = 0.25
"""The same, of the memory that is there."""
TRACED = 3
"""Following each allocation makes Python code so many times slower, about."""
TELLING = 0.1
"""Of the growth: what a line of code must hold, at least, to be named."""


def weigh_rounds(
    bench: Bench,
    seen: Sequence[Seen],
    length: int | None,
    epochs: int,
    seconds: float,
    changed: Sequence[Change] = (),
) -> Growth | None:
    """Compute the batches `seen` again and again; None where time is too short for it.

    Args:
        bench: Has the Sequence.
        seen: Batches that can be computed, and how long each takes.
        length: Batches in an epoch.
        epochs: Rounds, at least.
        seconds: How long it may take, about.
        changed: What `__getitem__` is known to change.
    """
    mean_s = sum(each.took_s for each in seen) / len(seen) + 50e-6
    mean_bytes = sum(each.nbytes for each in seen) / len(seen) + 1
    least = max(FEWEST_ROUNDS, epochs)
    calls = min(MOST_CALLS, int(seconds / mean_s))
    most = max(1, min(calls // least, int(MOST_HELD_BYTES / mean_bytes)))
    indices = [each.index for each in seen][:most]
    rounds = min(MOST_ROUNDS, calls // len(indices))
    if rounds < least:
        return None
    every = min(rounds // POINTS, int(BETWEEN_BYTES / (mean_bytes * len(indices))))
    tasks = _tasks(indices, rounds, max(1, every))
    run = bench.observe(tasks, until_s=time.monotonic() + 2 * seconds, enough=_Limit())
    found = Growth(
        _points(run.observations),
        rounds=len(run.observations) // len(indices),
        batches=len(indices),
        length=length,
        batch_bytes=mean_bytes,
        changed=tuple(change for change in changed if change.after > change.before >= 0),
        forked=bench.start_method == "fork",
    )
    if not grows(found):
        return found
    traced = min(calls / TRACED, MOST_HELD_BYTES / bytes_per_call(found))
    return _with_lines(bench, found, indices, max(1, min(rounds, int(traced / len(indices)))))


class _Limit:
    """Tells when a worker has grown by more than anybody needs to see."""

    def __init__(self) -> None:
        available = available_bytes()
        self._first = 0
        self._most = MOST_GROWN_BYTES
        if available is not None:
            self._most = min(self._most, int(MOST_GROWN_SHARE * available))

    def __call__(self, observation: Observation) -> bool:
        if not observation.task.weigh:
            return False
        self._first = self._first or observation.memory_before_bytes
        return observation.memory_bytes > self._first + self._most


def _tasks(indices: list[int], rounds: int, every: int) -> list[Task]:
    tasks = []
    for number in range(rounds):
        tasks += [Task(index, epoch=number, look=False) for index in indices]
        if number % every == every - 1 or number == rounds - 1:
            tasks[-1] = tasks[-1]._replace(weigh=True)
    tasks[0] = tasks[0]._replace(weigh=True)
    return tasks


def _points(observations: Sequence[Observation]) -> tuple[tuple[int, int], ...]:
    """Calls and bytes, each time the worker was weighed."""
    points = [
        (number, each.memory_bytes)
        for number, each in enumerate(observations, start=1)
        if each.task.weigh
    ]
    first = [(0, each.memory_before_bytes) for each in observations[:1]]
    return (*first, *points[1:])


def _with_lines(bench: Bench, growth: Growth, indices: list[int], rounds: int) -> Growth:
    """Where in the code the memory was allocated."""
    warm_up = [Task(index, look=False) for index in indices]
    stretch = [
        Task(index, epoch=1 + number, look=False) for number in range(rounds) for index in indices
    ]
    stretch[0] = stretch[0]._replace(trace="begin")
    stretch.append(stretch[-1]._replace(trace="end"))
    run = bench.observe(warm_up + stretch, until_s=time.monotonic() + bench.timeout_s)
    telling = TELLING * bytes_per_call(growth) * len(stretch)
    return replace(
        growth,
        lines=tuple(
            (place, nbytes // len(stretch))
            for each in run.observations
            for place, nbytes in each.lines
            if nbytes >= telling
        ),
    )
