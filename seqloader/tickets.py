"""Tickets and their outcomes: what the enqueuer asks of an executor, and what it gets back.

A ticket is answered by exactly one outcome: `Computed`, `Raised` or `Lost`. An executor knows
nothing of epochs and order; it hands outcomes back in whatever order they came about.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

__all__ = [
    "Computed",
    "Death",
    "Lost",
    "Outcome",
    "Raised",
    "RebuildError",
    "Shortage",
    "Ticket",
    "Worked",
]


class Ticket(NamedTuple):
    """A request for one batch. A named tuple, because one is made for every batch."""

    epoch: int
    position: int
    index: int  # type: ignore[assignment]  # a field, where tuples have a method
    attempt: int = 0
    padding: bool = False
    """Whether it repeats another shard's batch of this epoch, so that all have as many."""


class Death(NamedTuple):
    """How a worker ended, as far as the consumer can know."""

    slot: int
    pid: int
    exitcode: int | None
    """As in `subprocess`: negative for a signal, None where the system did not say."""
    peak_rss_bytes: int | None
    reason: str = "died"
    """"died", or "timeout" where the consumer killed it because a batch took too long."""
    stack: str = ""
    """What it was doing, if it passed the time limit and could still say so."""
    replaced: bool = True
    """Whether its successor was started at once."""
    failed: bool = False
    """Whether it ended before its first batch: if no successor is started, a `Shortage` tells."""
    for_memory: bool = False
    """Whether the kernel has killed for want of memory meanwhile, and so probably this one."""
    said: str = ""
    """What is known of its end where there is no exit code: Ray's own words."""


class Shortage(NamedTuple):
    """A worker could not be replaced yet: fewer go on, and it is tried again."""

    workers: int
    """How many there are."""
    wanted: int
    why: str
    pause_s: float
    """Until the next try."""


class Worked(NamedTuple):
    """What computing tickets has taken all workers together."""

    cpu_s: float = 0.0
    """Seconds of CPU, of all their threads."""
    encoded_s: float = 0.0
    """Seconds of writing batches to where the consumer finds them."""

    def beside(self, other: Worked) -> Worked:
        """Both together."""
        return Worked(self.cpu_s + other.cpu_s, self.encoded_s + other.encoded_s)

    def since(self, before: Worked) -> Worked:
        """What was added."""
        cpu_s = max(0.0, self.cpu_s - before.cpu_s)
        return Worked(cpu_s, max(0.0, self.encoded_s - before.encoded_s))


class RebuildError(Exception):
    """Rebuilding a user's object raised, which is the cause. (What is raised in any other way while
    a batch is opened came asynchronously, and is not the batch's fault.)"""


class Computed(Protocol):
    """A batch is there.

    For traces, it may also say `taken_ns`, `take_s` and `encode_s`: see `Raised`.
    """

    @property
    def ticket(self) -> Ticket:
        """What it answers."""

    @property
    def slot(self) -> int:
        """Of the worker."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the batch occupies; 0 where the executor cannot know."""

    @property
    def busy_s(self) -> float:
        """Seconds the worker spent on the ticket."""

    def open(self) -> Any:
        """Build the batch. Called at most once.

        Raises:
            RebuildError: an object of the user's cannot be rebuilt; the cause says why.
        """

    def discard(self) -> None:
        """Give the memory back without ever opening it."""


class Raised(NamedTuple):
    """`__getitem__` (or writing its batch) raised."""

    ticket: Ticket
    slot: int
    error: BaseException
    """With its own type where that can be had, the worker's traceback attached as a cause."""
    pid: int | None = None
    """Process id of the worker; None where it computed in the consumer's process."""
    busy_s: float = 0.0
    taken_ns: int = 0
    """When the worker took the ticket, on the clock of `time.monotonic_ns`; 0: unknown."""
    take_s: float = 0.0
    """The first part of `busy_s`: what had to be loaded before `__getitem__`."""
    encode_s: float = 0.0
    """The last part of it: packing the exception."""


class Lost(NamedTuple):
    """The worker that held the ticket is gone."""

    ticket: Ticket
    death: Death


Outcome = Computed | Raised | Lost
