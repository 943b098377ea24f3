"""What one interval showed, and what follows from it by arithmetic alone. Pure."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

__all__ = ["Facts", "Size", "batches_of", "bytes_of", "fitting", "most_by_cpus", "usual_queue"]

CROWD: Final = 4.0
"""Workers that want a CPU for each CPU, at most: where other programs take some as well, more
workers get a larger part, but that must have an end."""

LEAST_DEMAND: Final = 0.05
"""Of a CPU by a worker that only waits: so many more workers than CPUs, at most."""


class Size(NamedTuple):
    """What is tuned."""

    workers: int
    queue: int
    """Batches ahead of the consumer, at most."""

    def __str__(self) -> str:
        return f"{self.workers} workers, a queue of {self.queue}"


class Facts(NamedTuple):
    """What one interval showed, and what there is now."""

    size: Size
    seconds: float
    """How long it was."""
    waited_s: float
    """How much of it the consumer waited for a batch."""
    delivered: int
    """Batches."""
    busy_s: float
    """Seconds that workers spent on the batches that came in, over all workers."""
    cpu_s: float | None
    """Seconds of CPU that the workers used; None: unknown."""
    cpu_waited_s: float
    """Seconds that they waited for a CPU, which others had."""
    ready: int
    """Workers that have started."""
    cpus: float
    """That there are for our workers: without what the workers of other enqueuers use."""
    batch_bytes: int
    """The largest batch; 0: unknown, or bounded elsewhere."""
    worker_bytes: int
    """Memory that a worker has for itself."""
    room_bytes: float
    """Memory that we may have, batches and workers together."""
    memory_deaths: int = 0
    """Workers that were killed for want of memory."""

    @property
    def rate(self) -> float:
        """Batches per second."""
        return self.delivered / self.seconds

    @property
    def waiting(self) -> float:
        """The part of the time in which the consumer waited, 0 ... 1."""
        return min(1.0, self.waited_s / self.seconds)

    @property
    def load(self) -> float:
        """How many workers were busy, on average."""
        return self.busy_s / self.seconds

    @property
    def wanted_load(self) -> float:
        """How many would have been busy, had the consumer never waited."""
        return self.load / (1.0 - min(self.waiting, 0.99))


def most_by_cpus(facts: Facts) -> int:
    """How many workers the CPUs can feed: as many as use all of them, if each goes on to use as
    much as now, and one more, since they take turns at waiting. One for each where that is not
    known."""
    cpus, workers = max(facts.cpus, 0.0), facts.size.workers
    if facts.cpu_s is None or not facts.busy_s:
        return max(1, math.floor(cpus))
    used = facts.cpu_s / facts.seconds
    wanted = min(1.0, (facts.cpu_s + facts.cpu_waited_s) / facts.busy_s)
    until_all_are_used = workers * cpus / max(used, LEAST_DEMAND * workers) + 1
    until_it_is_crowded = CROWD * cpus / max(wanted, LEAST_DEMAND)
    return max(1, math.floor(min(until_all_are_used, until_it_is_crowded)))


def usual_queue(workers: int) -> int:
    """Batches ahead that suit so many workers, where their work is even."""
    return max(10, 2 * workers)


def batches_of(size: Size) -> int:
    """How many batches there is memory for: blocks kept for reuse are in it."""
    return size.queue + 2 * size.workers + 1


def bytes_of(size: Size, facts: Facts) -> int:
    """Memory that workers and batches have at this size."""
    return size.workers * facts.worker_bytes + batches_of(size) * facts.batch_bytes


def fitting(size: Size, facts: Facts, *, workers: bool, queue: bool) -> Size:
    """The same size, or as much of it as there is room for: first the queue is shortened, to a
    batch for each worker; then there are fewer of both. One worker and one batch are the least.

    Args:
        workers, queue: whether their numbers may be changed.
    """
    while bytes_of(size, facts) > facts.room_bytes:
        over = bytes_of(size, facts) - facts.room_bytes
        if queue and size.queue > size.workers and facts.batch_bytes:
            batches = math.ceil(over / facts.batch_bytes)
            size = size._replace(queue=max(size.workers, size.queue - batches))
        elif workers and size.workers > 1:
            fewer = size.workers - 1
            size = Size(fewer, min(size.queue, fewer) if queue else size.queue)
        elif queue and size.queue > 1:
            size = size._replace(queue=size.queue - 1)
        else:
            break
    return size
