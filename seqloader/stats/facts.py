"""What a judge may know of one stretch of loading: an epoch, or a measurement.

Seconds are of one batch, on average, unless something else is said. What nobody has measured is
None, or what says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqloader.stats import words
from seqloader.stats.counters import SLOWEST_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Beside", "Facts", "Stragglers", "straggling"]

LEAST_STRAGGLERS = 4
"""Fewer lie side by side by chance."""
STRAGGLES = 3.0
"""Times the others' time that a straggler takes, at least."""
NARROW = 0.25
"""Of all indices: stragglers lie within so much of them."""


@dataclass(frozen=True)
class Beside:
    """What other measurements of the same Sequence showed, in turn with this one."""

    loop_s: float
    """The plain loop's time for a batch."""
    startup_s: float
    """From nothing to the first batch."""
    loop_startup_s: float
    noise: float
    """Share by which measurements differ anyway."""
    most_workers: int
    """That were measured."""
    disturbed: bool = False
    """Whether other programs took the CPUs."""


@dataclass(frozen=True)
class Stragglers:
    """Slow batches that lie side by side."""

    first: int
    """Index."""
    last: int
    count: int
    seconds: float
    """Of one of them."""
    others_s: float
    """Of a batch that is none."""
    all_known: bool = True
    """False: there may be more of them."""


@dataclass(frozen=True)
class Facts:
    """All that a verdict may know."""

    workers: int
    queue: int
    """How wide the window is."""
    cpus: int
    """That this process may use, by affinity and by the quota of its control groups."""
    batches: int
    """Handed over."""
    batch_s: float
    """From batch to batch."""
    nbytes: float = 0.0
    """Of a batch."""
    batches_per_epoch: int | None = None
    """None: endless, or unknown."""
    threads: bool = False
    """Whether the workers are threads of the consumer's process."""
    tuned: bool = False
    """Whether the enqueuer still finds out by itself how many workers or batches ahead it needs."""
    quota: float | None = None
    """CPUs' worth of time that control groups allow, where that is what bounds `cpus`."""

    # the consumer
    wait_s: float | None = None
    """It waits; None: nobody asked, since there was no loop that did something."""
    hand_s: float = 0.0
    """The hand-over itself."""
    step_s: float = 0.0
    """The loop, between batches."""
    first_s: float = 0.0
    """Waited for the first batch of all."""
    blocked_share: float | None = None
    """Of the waiting after the first batch, in which the window kept workers from going on."""
    consumer_s: float = 0.0
    """CPU time of its thread, with what it does with a batch."""

    # the workers
    busy_s: float = 0.0
    """A worker's time."""
    busy_share: float = 0.0
    """Of their time that workers spend on batches."""
    encoded_s: float | None = None
    """Of `busy_s`, for handing over."""
    work_cpus: float | None = None
    """CPUs that computing keeps busy in a worker: 1.0 computes, 0.0 waits; more: threads."""
    wants_cpus: float | None = None
    """The same, with what it wanted and others had."""
    cpus_wanted: float = 0.0
    """CPUs that all workers together kept busy, or wanted."""
    library_threads: int = 1
    """That each worker is told to use for BLAS and OpenMP."""
    typical_s: float = 0.0
    """The median of `busy_s`, where it is known."""
    slowest_s: float = 0.0
    """What one batch in a hundred reaches."""
    stragglers: Stragglers | None = None

    # what went wrong
    respawns: int = 0
    memory_deaths: int = 0
    """Of these, for want of memory."""
    shortages: int = 0
    retried: int = 0
    """Without those whose worker died."""

    # memory
    memory_bytes: float | None = None
    """That the loading takes."""
    available_bytes: float | None = None
    """That it could take, all in all."""
    held_batches: int = 0
    """That the consumer still refers to."""
    held_bytes: int = 0

    beside: Beside | None = None
    """None: this is a run, and no measurement that could be repeated with other numbers."""

    @property
    def span_s(self) -> float:
        """Of a batch, all that the consumer spends."""
        return (self.wait_s or 0.0) + self.hand_s + self.step_s

    @property
    def waited_s(self) -> float:
        """For all batches."""
        return (self.wait_s or 0.0) * self.batches

    @property
    def with_workers(self) -> str:
        """`with 2 workers`."""
        return f"with {words.count(self.workers, 'worker')}"

    @property
    def waits_mostly(self) -> bool:
        """Whether workers wait for something else than a CPU."""
        return self.wants_cpus is not None and self.wants_cpus <= 0.5

    @property
    def unevenness(self) -> float:
        """How many times a typical batch's time in a worker a slow one takes."""
        return max(1.0, self.slowest_s / self.typical_s) if self.typical_s > 0 else 1.0

    @property
    def window_needed(self) -> int:
        """Batches ahead with which the other workers go on while one computes a slow batch."""
        return max(2 * self.workers, math.ceil(self.unevenness * self.workers))


def straggling(
    slowest: Sequence[tuple[int, float]], *, count: int, busy_s: float, length: int
) -> Stragglers | None:
    """The slow batches of an epoch, if they lie side by side; None: there are none, or anywhere.

    Args:
        slowest: Indices and seconds of the slowest of its batches.
        count: How many batches were computed.
        busy_s: Seconds for all of them.
        length: Indices that there are.
    """
    ordered = sorted(slowest, key=lambda one: one[1], reverse=True)
    # The others' time is not known one by one, so slow ones are taken away until they stand out.
    for number in range(len(ordered), LEAST_STRAGGLERS - 1, -1):
        slow = ordered[:number]
        rest = count - number
        others_s = (busy_s - sum(seconds for _, seconds in slow)) / rest if rest > 0 else 0.0
        if others_s <= 0.0 or slow[-1][1] < STRAGGLES * others_s:
            continue
        near = next((some for some in _closest(slow) if _is_narrow(some, length)), None)
        if near is None:
            return None
        first, last = near[0][0], near[-1][0]
        seconds = sum(seconds for _, seconds in near) / len(near)
        return Stragglers(first, last, len(near), seconds, others_s, number < SLOWEST_KEPT)
    return None


def _closest(slow: list[tuple[int, float]]) -> Iterator[list[tuple[int, float]]]:
    """All of them, in the order of their indices; and those nine tenths that lie closest."""
    ordered = sorted(slow)
    yield ordered
    number = len(slow) - len(slow) // 10
    starts = range(len(slow) - number + 1)
    start = min(starts, key=lambda at: ordered[at + number - 1][0] - ordered[at][0])
    yield ordered[start : start + number]


def _is_narrow(ordered: list[tuple[int, float]], length: int) -> bool:
    spread = ordered[-1][0] - ordered[0][0] + 1
    return spread <= max(2 * len(ordered), NARROW * length)
