"""A model of a pool and its consumer, for the rule: no clock, no process.

Each batch sleeps (storage), then computes. Of CPU work, all that is at it at one time shares the
CPUs evenly. Storage serves so many at a time, others queue. Workers take time to start; a worker
too many leaves after its batch. The window permits so many batches ahead, as the real one does.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections import deque
from collections.abc import Callable

from seqloader.run.tuning.facts import Facts, Size, usual_queue
from seqloader.run.tuning.rule import Rule

LOOK_S = 0.5


@dataclasses.dataclass(frozen=True)
class Workload:
    """What one batch takes, and what there is."""

    cpu_s: float = 0.01
    sleep_s: float = 0.0
    step_s: float = 0.0
    """The consumer's own time for a batch."""
    every: int = 0
    """Each so manieth batch is slow."""
    slow: float = 1.0
    """How many times as long that takes."""
    cpus: float = 8.0
    storage: int = 1_000
    """Batches that sleep at one time; others wait for that."""
    start_s: float = 0.3
    """Until a worker has started."""
    batch_bytes: int = 0
    worker_bytes: int = 0
    room_bytes: float = float("inf")
    spread: float = 0.0
    """Of the times, as a part of them."""

    def times(self, index: int, rng: random.Random) -> tuple[float, float]:
        factor = self.slow if self.every and index % self.every == self.every - 1 else 1.0
        factor *= 1 + self.spread * rng.uniform(-1, 1)
        return self.sleep_s * factor, self.cpu_s * factor


class Pool:
    """Runs a workload; `resize` it between two `run`s."""

    def __init__(self, workload: Workload, size: Size, seed: int = 0) -> None:
        self.workload, self.size = workload, size
        self.now = 0.0
        self.delivered = 0
        self.waited_s = self.busy_s = self.cpu_s = self.cpu_waited_s = 0.0
        self._rng = random.Random(seed)
        self._issued = 0
        self._ready = 0
        self._starting: list[float] = []
        self._begun: dict[int, float] = {}
        self._sleeping: list[tuple[float, int]] = []
        self._queueing: deque[int] = deque()
        self._computing: dict[int, float] = {}
        self._arrived: set[int] = set()
        self._wants_since: float | None = 0.0
        self._steps_until = 0.0
        self._cpu_of: dict[int, float] = {}
        self._sleep_of: dict[int, float] = {}
        self.resize(size)

    @property
    def ready(self) -> int:
        return min(self._ready, self.size.workers)

    def figures(self) -> tuple[float, ...]:
        """The clock, and what has been counted by now."""
        counted = (self.waited_s, float(self.delivered), self.busy_s)
        return self.now, *counted, self.cpu_s, self.cpu_waited_s

    def resize(self, size: Size) -> None:
        have = self._ready + len(self._starting)
        self.size = size
        for _ in range(size.workers - have):
            heapq.heappush(self._starting, self.now + self.workload.start_s)
        while self._starting and self._ready + len(self._starting) > size.workers:
            self._starting.pop()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self._move()
            self._advance(min(self._next(), end))
        if self._wants_since is not None:
            self.waited_s += self.now - self._wants_since
            self._wants_since = self.now

    def _at_work(self) -> int:
        return len(self._begun)

    def _move(self) -> None:
        """All that happens at this instant."""
        while self._starting and self._starting[0] <= self.now:
            heapq.heappop(self._starting)
            self._ready += 1
        while self._sleeping and self._sleeping[0][0] <= self.now:
            _, index = heapq.heappop(self._sleeping)
            self._computing[index] = self._cpu_of.pop(index)
        for index in [i for i, left in self._computing.items() if left <= 1e-12]:
            del self._computing[index]
            self.busy_s += self.now - self._begun.pop(index)
            self._arrived.add(index)
            if self._ready > self.size.workers:
                self._ready -= 1
        if self._wants_since is None and self.now >= self._steps_until:
            self._wants_since = self.now
        if self._wants_since is not None and self.delivered in self._arrived:
            self._arrived.remove(self.delivered)
            self.delivered += 1
            self.waited_s += self.now - self._wants_since
            self._wants_since = None
            # Handing over costs something, so that there is no end of batches at one instant.
            self._steps_until = self.now + max(self.workload.step_s, 2e-5)
        if self._ready > self.size.workers and self._at_work() < self.size.workers:
            self._ready = self.size.workers
        wanted = self._wants_since is not None
        while (
            self._at_work() < min(self._ready, self.size.workers)
            and self._issued - self.delivered < self.size.queue + wanted
        ):
            self._begin(self._issued)
            self._issued += 1
        while self._queueing and len(self._sleeping) < self.workload.storage:
            index = self._queueing.popleft()
            heapq.heappush(self._sleeping, (self.now + self._sleep_of.pop(index), index))

    def _begin(self, index: int) -> None:
        sleep_s, cpu_s = self.workload.times(index, self._rng)
        self._begun[index] = self.now
        if sleep_s:
            self._sleep_of[index], self._cpu_of[index] = sleep_s, cpu_s
            self._queueing.append(index)
        else:
            self._computing[index] = cpu_s

    def _speed(self) -> float:
        return min(1.0, self.workload.cpus / max(1, len(self._computing)))

    def _next(self) -> float:
        found = [self.now + 1.0]
        if self._starting:
            found.append(self._starting[0])
        if self._sleeping:
            found.append(self._sleeping[0][0])
        if self._computing:
            found.append(self.now + min(self._computing.values()) / self._speed())
        if self._wants_since is None:
            found.append(self._steps_until)
        return max(self.now, min(found))

    def _advance(self, to: float) -> None:
        seconds, speed = to - self.now, self._speed()
        for index in self._computing:
            self._computing[index] -= seconds * speed
        self.cpu_s += seconds * speed * len(self._computing)
        self.cpu_waited_s += seconds * (1 - speed) * len(self._computing)
        self.now = to


@dataclasses.dataclass
class Course:
    """How a tuned run went."""

    changes: list[tuple[float, Size, str]]
    late_rate: float
    """Batches per second after the first 30 s."""
    size: Size
    most_bytes: int

    def changes_after(self, second: float) -> list[tuple[float, Size, str]]:
        return [change for change in self.changes if change[0] > second]


def tuned(
    workload: Workload,
    *,
    seconds: float = 60.0,
    settle_s: float = 30.0,
    first: int = 2,
    workers: bool = True,
    queue: bool = True,
    each_look: Callable[[Pool], None] | None = None,
) -> Course:
    """Run under the rule."""
    size = Size(first, usual_queue(first))
    rule, pool = Rule(workers=workers, queue=queue), Pool(workload, size)
    changes: list[tuple[float, Size, str]] = []
    most_bytes, late, late_from = 0, 0, 0.0
    while pool.now < seconds:
        if pool.now < settle_s:
            late, late_from = pool.delivered, pool.now
        before = pool.figures()
        while True:  # as the tuner does: until there are enough batches to tell
            pool.run(LOOK_S)
            passed, _, delivered, *_ = map(float.__sub__, pool.figures(), before)
            if delivered >= max(4, 2 * pool.size.workers) or passed >= 10:
                break
        batches = pool.size.queue + 2 * pool.size.workers + 1
        held = pool.size.workers * workload.worker_bytes + batches * workload.batch_bytes
        if changes or pool.now > 1:
            most_bytes = max(most_bytes, held)
        passed, waited, delivered, busy, cpu, cpu_waited = map(
            float.__sub__, pool.figures(), before
        )
        facts = Facts(
            size=pool.size,
            seconds=passed,
            waited_s=waited,
            delivered=int(delivered),
            busy_s=busy,
            cpu_s=cpu,
            cpu_waited_s=cpu_waited,
            ready=pool.ready,
            cpus=workload.cpus,
            batch_bytes=workload.batch_bytes,
            worker_bytes=workload.worker_bytes,
            room_bytes=workload.room_bytes,
        )
        decision = rule.look(facts)
        if decision is not None:
            changes.append((pool.now, decision.size, decision.reason))
            pool.resize(decision.size)
        if each_look is not None:
            each_look(pool)
    late_rate = (pool.delivered - late) / (pool.now - late_from)
    return Course(changes, late_rate, pool.size, most_bytes)


def fixed_rate(
    workload: Workload, workers: int, seconds: float = 10.0, queue: int | None = None
) -> float:
    """Batches per second with so many workers, once they have started."""
    pool = Pool(workload, Size(workers, queue or usual_queue(workers)))
    pool.run(workload.start_s + 1.0)
    before = pool.delivered
    pool.run(seconds)
    return (pool.delivered - before) / seconds
