"""Workers on a clock that moves only when it is told: a whole run, as fast or slow as it is said.

The enqueuer, its counters and what gathers the facts are the real ones. So a verdict on such a run
depends on no machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqloader.executors.diagnostics import Diagnostics
from seqloader.memory.usage import Usage
from seqloader.tickets import Death, Lost, Raised, Ticket, Worked

__all__ = ["Clock", "Work", "Workers"]


class Clock:
    """In the place of `time.monotonic`."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True)
class Work:
    """What one batch takes."""

    seconds: float
    cpus: float = 1.0
    """That it keeps busy meanwhile; 0: it waits for something else."""
    wants: float = 1.0
    """How many times that it wants: other programs, or workers, have the rest."""
    encode_s: float = 0.0
    """Of the seconds, for writing it to where the consumer finds it."""
    hand_s: float = 10e-6
    """That the consumer needs to take it."""
    nbytes: int = 1_000
    raises: bool = False
    """At the first attempt."""
    dies: bool = False
    """So does its worker, at the first attempt."""


class _Computed:
    """The outcome of that name."""

    def __init__(self, ticket: Ticket, slot: int, work: Work, workers: Workers) -> None:
        self.ticket, self.slot, self.nbytes = ticket, slot, work.nbytes
        self.busy_s = work.seconds
        self._hand_s, self._workers = work.hand_s, workers

    def open(self) -> Any:
        self._workers.clock.now_s += self._hand_s
        self._workers.opened += 1
        return self.ticket.index

    def discard(self) -> None:
        pass


class Workers(Diagnostics):
    """An executor.

    Args:
        clock: which it moves while its consumer waits.
        workers: how many.
        work: what the batch of an index takes.
        start_s: until a worker takes its first ticket.
        worker_bytes: of memory, of each.
        kept: whether the consumer keeps its batches.
    """

    def __init__(
        self,
        clock: Clock,
        workers: int,
        work: Callable[[int], Work],
        *,
        start_s: float = 0.0,
        worker_bytes: int = 0,
        kept: bool = False,
    ) -> None:
        self.clock, self.workers, self._work = clock, workers, work
        self._start_s, self._bytes, self._kept = start_s, worker_bytes, kept
        self._free_s = [0.0] * workers
        """When each has done all that it was given."""
        self._given: list[tuple[float, Any]] = []
        """When an outcome will be there, and which."""
        self.opened = 0
        self._cpu_s = self._wanted_s = self._encoded_s = 0.0

    def start(self, sequence: Any, seeding: Any) -> None:
        self._free_s = [self.clock.now_s + self._start_s] * self.workers

    def submit(self, ticket: Ticket) -> None:
        slot = self._free_s.index(min(self._free_s))
        work = self._work(ticket.index)
        done_s = max(self._free_s[slot], self.clock.now_s) + work.seconds
        outcome: Any
        if work.dies and not ticket.attempt:
            outcome = Lost(ticket, Death(slot, 1, -9, None))
            self._free_s[slot] = done_s + self._start_s
        else:
            if work.raises and not ticket.attempt:
                outcome = Raised(ticket, slot, OSError("not this time"), busy_s=work.seconds)
            else:
                outcome = _Computed(ticket, slot, work, self)
            self._free_s[slot] = done_s
            self._cpu_s += work.seconds * work.cpus
            self._wanted_s += work.seconds * work.cpus * (work.wants - 1.0)
            self._encoded_s += work.encode_s
        self._given.append((done_s, outcome))

    def wait(self, timeout_s: float | None) -> None:
        self.clock.now_s = max(self.clock.now_s, min(done_s for done_s, _ in self._given))

    def collect(self) -> list[Any]:
        there = deque(one for one in self._given if one[0] <= self.clock.now_s)
        self._given = [one for one in self._given if one[0] > self.clock.now_s]
        return [outcome for _, outcome in sorted(there, key=lambda one: one[0])]

    def alarmed(self) -> bool:
        return False

    def load(self, sequence: Any, *, in_place: bool) -> None:
        pass

    def discard(self, timeout_s: float | None = None) -> bool:
        self._given.clear()
        return True

    def reset(self) -> None:
        self._given.clear()

    def wake(self) -> None:
        pass

    def kill(self) -> None:
        pass

    def stop(self, timeout_s: float) -> None:
        self._given.clear()

    def abandon(self) -> None:
        pass

    # --- what it tells ----------------------------------------------------------------------

    def held_batches(self) -> int:
        return self.opened if self._kept else min(1, self.opened)

    def held_bytes(self) -> int:
        return self.held_batches() * self._work(0).nbytes

    def worked(self) -> Worked:
        return Worked(self._cpu_s, self._encoded_s)

    def usage(self) -> dict[int, Usage | None]:
        share = 1 / self.workers
        used = Usage(self._cpu_s * share, self._wanted_s * share, self._bytes)
        return dict.fromkeys(range(self.workers), used)
