"""What was measured, round after round, and what a number of workers makes of them."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqloader.command.rounds import SPREAD_LIMIT, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FED_SHARE", "Facts", "Figures", "Round", "Work"]

DISTURBING_CPUS = 0.5
"""As many of the usable CPUs, taken by other programs, and the figures tell little."""
DISTURBING_SHARE = 0.05
"""Of the usable CPUs: of many, half a one is nothing."""
FED_SHARE = 0.05
"""Of a training step: a loop that waits less is fed."""
SLOWEST = 0.99
"""Not the longest of all: one hiccup of the machine would make it."""


@dataclass(frozen=True)
class Round:
    """One measurement. The fields from `batches` to `busy_s` are of its timed stretch."""

    queue: int
    """How wide the window was."""
    startup_s: float
    """From nothing to the first batch."""
    batches: int
    wall_s: float
    nbytes: float
    """Of the arrays in those batches."""
    consumer_s: float
    """CPU of the thread that iterates, touching included."""
    cpu_s: float
    """CPU of this process and its workers."""
    machine_s: float
    """CPU of all programs on the machine."""
    busy_s: float
    """Seconds that workers spent on batches: computing and writing them. Waiting counts."""
    wait_s: float | None = None
    """Seconds waited for a batch after each training step; None where no step was asked for."""
    memory_bytes: int | None = None
    """Of this process and its workers, with the window full."""


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds, for a number of workers or for the plain loop."""

    workers: int | None
    """None: the plain loop, without an enqueuer."""
    batches_per_s: float
    queue: int = 0
    """How wide the window was."""
    startup_s: float = 0.0
    nbytes: float = 0.0
    """Of one batch."""
    consumer_s: float = 0.0
    """CPU of the consumer's thread for one batch."""
    cpus: float = 0.0
    """CPUs kept busy by all processes together."""
    busy_share: float = 0.0
    """Of the workers' time."""
    busy_s: float = 0.0
    """A worker's time for one batch."""
    wait_s: float | None = None
    memory_bytes: int | None = None
    spread: float | None = None
    """Of the rate, see `SPREAD_LIMIT`; None: one round has none."""
    slowest_per_s: float = 0.0
    fastest_per_s: float = 0.0

    @classmethod
    def of(cls, workers: int | None, rounds: Sequence[Round]) -> Figures:
        """What these rounds, one at least, come to."""
        rates = [each.batches / each.wall_s for each in rounds]
        waits = [each.wait_s for each in rounds if each.wait_s is not None]
        memory = [each.memory_bytes for each in rounds if each.memory_bytes is not None]
        median = statistics.median
        return cls(
            workers,
            median(rates),
            queue=rounds[0].queue,
            startup_s=median(each.startup_s for each in rounds),
            nbytes=median(each.nbytes / each.batches for each in rounds),
            consumer_s=median(each.consumer_s / each.batches for each in rounds),
            cpus=median(each.cpu_s / each.wall_s for each in rounds),
            busy_share=median(each.busy_s / each.wall_s for each in rounds) / max(1, workers or 0),
            busy_s=median(each.busy_s / each.batches for each in rounds),
            wait_s=median(waits) if waits else None,
            memory_bytes=max(memory) if memory else None,
            spread=spread(rates) if len(rates) > 1 else None,
            slowest_per_s=min(rates),
            fastest_per_s=max(rates),
        )

    @property
    def name(self) -> str:
        """How tables and plots call it."""
        return "plain loop" if self.workers is None else str(self.workers)

    @property
    def batch_s(self) -> float:
        """Seconds from batch to batch."""
        return 1 / self.batches_per_s

    @property
    def is_unstable(self) -> bool:
        """Whether the rounds lie too far apart."""
        return self.spread is not None and self.spread > SPREAD_LIMIT

    def efficiency(self, loop: Figures) -> float:
        """1.0: every worker is as fast as the loop alone."""
        return self.batches_per_s / (loop.batches_per_s * max(1, self.workers or 0))


@dataclass(frozen=True)
class Work:
    """What a worker's time for a batch consists of."""

    mean_s: float
    """Of it, `__getitem__`."""
    typical_s: float
    """The median of that."""
    slowest_s: float
    """What one batch in a hundred reaches; of fewer batches the longest."""
    handing_s: float
    """The rest: handing the batch over."""
    cpus: float
    """CPUs that `__getitem__` keeps busy in its process: 1.0 computes, 0.0 waits; more: threads."""

    @classmethod
    def of(cls, taken: Sequence[tuple[float, float]], measured: Round) -> Work:
        """From the seconds, and CPU seconds, that batches of this measurement took."""
        took_s = sorted(took for took, _ in taken)
        mean_s = statistics.fmean(took_s)
        return cls(
            mean_s=mean_s,
            typical_s=statistics.median(took_s),
            slowest_s=took_s[math.ceil(SLOWEST * len(took_s)) - 1],
            handing_s=max(0.0, measured.busy_s / measured.batches - mean_s),
            cpus=sum(cpu for _, cpu in taken) / sum(took_s),
        )

    @property
    def both_s(self) -> float:
        """A worker's time for a batch."""
        return self.mean_s + self.handing_s

    @property
    def unevenness(self) -> float:
        """How many times a typical batch's time in a worker a slow one takes."""
        typical_s = self.typical_s + self.handing_s
        return max(1.0, (self.slowest_s + self.handing_s) / typical_s) if typical_s > 0 else 1.0


@dataclass(frozen=True)
class Facts:
    """All that a verdict and a recommendation may know."""

    loop: Figures
    rows: tuple[Figures, ...]
    """Through the enqueuer, by number of workers."""
    cpus: int
    """CPUs this process may use."""
    executor: str = "process"
    step_s: float | None = None
    batches_per_epoch: int | None = None
    """None: the Sequence is endless."""
    available_bytes: int | None = None
    """Memory that could be had before the first measurement."""
    machine_cpus: int = 0
    """CPUs of the machine, also those that this process may not use; 0: unknown."""
    others: float = 0.0
    """CPUs that other programs kept busy meanwhile."""
    work: Work | None = None

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs took CPUs that this process could have used."""
        taken = self.cpus - (self.machine_cpus - self.others)
        limit = max(DISTURBING_CPUS, DISTURBING_SHARE * self.cpus)
        return self.machine_cpus > 0 and taken > limit

    def feeds_the_step(self, row: Figures) -> bool:
        """Whether the training loop hardly waits; not where there is no step."""
        if self.step_s is None or row.wait_s is None:
            return False
        return row.wait_s <= FED_SHARE * self.step_s

    def period_s(self, row: Figures) -> float:
        """Seconds from step to step of the training loop, or from batch to batch without one."""
        if self.step_s is None or row.wait_s is None:
            return row.batch_s
        return self.step_s + row.wait_s

    @property
    def unevenness(self) -> float:
        """That of the work, as far as it is known."""
        return 1.0 if self.work is None else self.work.unevenness

    def window_needed(self, workers: int) -> int:
        """Batches ahead with which the other workers go on while one computes a slow batch."""
        return max(2 * workers, math.ceil(self.unevenness * workers))
