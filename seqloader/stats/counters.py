"""The counts behind `Stats`: changed by the consumer only, and read by anybody at any time.

Times of an epoch, which add up to the span from its beginning to the last batch handed over:

    waited     inside the executor's wait
    handed     the rest of the calls that give batches: the hand-over itself
    loop       between these calls: what the loop does with a batch

A call costs two readings of the clock. What workers used is not counted here, but by them.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappush, heapreplace
from typing import Final, NamedTuple

from seqloader.tickets import Worked

__all__ = ["SLOWEST_KEPT", "Counters", "Counts"]

SLOWEST_KEPT: Final = 32
"""Of an epoch: enough to see whether they lie side by side."""


class Counts(NamedTuple):
    """All counters at one moment."""

    delivered: int = 0
    computed: int = 0
    skipped: int = 0
    retried: int = 0
    respawns: int = 0
    memory_deaths: int = 0
    shortages: int = 0
    nbytes: int = 0
    waits: int = 0
    waited_s: float = 0.0
    inside_s: float = 0.0
    span_s: float = 0.0
    turned_s: float = 0.0
    first_s: float = 0.0
    blocked_s: float = 0.0


class Counters:
    """The counts over the life of an enqueuer, and what they were when the epoch began."""

    __slots__ = (
        "before",
        "begun_s",
        "blocked_s",
        "busy_before",
        "busy_s",
        "computed",
        "delivered",
        "epoch",
        "first_s",
        "inside_s",
        "left_s",
        "memory_deaths",
        "nbytes",
        "respawns",
        "retried",
        "shortages",
        "skipped",
        "slow",
        "slow_from_s",
        "span_s",
        "turned_s",
        "waited_s",
        "waits",
        "worked",
        "worked_before",
        "worked_earlier",
    )

    def __init__(self) -> None:
        self.delivered = self.skipped = self.retried = self.respawns = self.nbytes = 0
        """`delivered`: a batch counts when it is found, and no more if it is given to nobody."""
        self.computed = 0
        """Answers of workers that came in: those of batches ahead of the epoch, and errors, too."""
        self.memory_deaths = 0
        """Of those that died, how many were killed for want of memory."""
        self.shortages = 0
        """Workers that could not be replaced at once."""
        self.waits = 0
        """Batches that were not there when they were asked for."""
        self.waited_s = 0.0
        self.inside_s = 0.0
        """Seconds inside the calls that give batches, waiting included."""
        self.span_s = 0.0
        """Of the epochs before this one."""
        self.turned_s = 0.0
        """Seconds for beginning and ending epochs, hooks included."""
        self.first_s = 0.0
        """Of the waiting, that for the first batch of each epoch."""
        self.blocked_s = 0.0
        """Of the waiting, that in which workers idled since the window was full."""
        self.busy_s: defaultdict[int, float] = defaultdict(float)
        self.epoch: int | None = None
        """Number of the epoch under way, or of the last."""
        self.begun_s = self.left_s = 0.0
        """By the clock: when it began, and when the consumer left last with a batch."""
        self.slow: list[tuple[float, int]] = []
        """A heap: seconds that a worker spent, and the index, of the slowest of the epoch."""
        self.slow_from_s = 0.0
        """What a batch must take to be among them."""
        self.worked: Worked | None = Worked()
        """By all workers until the executor stopped last; None: unknown."""
        self.worked_earlier: Worked | None = self.worked
        """Until the present executor started."""
        self.before = Counts()
        self.busy_before: dict[int, float] = {}
        self.worked_before: Worked | None = Worked()

    # --- noted by the consumer ------------------------------------------------------------

    def begin_epoch(self, number: int, now_s: float, worked: Worked | None) -> None:
        """From here on an epoch is counted. `worked`: by all workers so far."""
        self.before = self.now()
        self.span_s = self.before.span_s
        self.busy_before = dict(self.busy_s)
        self.worked_before = worked
        self.slow = []
        self.slow_from_s = 0.0
        self.epoch = number
        self.begun_s = self.left_s = now_s

    def leave(self, asked_s: float, now_s: float) -> None:
        """A call that was to give a batch ends. An epoch that began in it counts from there."""
        self.inside_s += now_s - max(asked_s, self.begun_s)
        self.left_s = now_s

    def note_wait(self, step_s: float, blocked: bool) -> None:
        """The consumer has waited long. `blocked`: the window kept workers from going on meanwhile.
        (`waited_s` counts every wait.)"""
        if blocked:
            self.blocked_s += step_s
        if self.delivered == self.before.delivered:
            self.first_s += step_s

    def note_slow(self, index: int, busy_s: float) -> None:
        """A batch took more than `slow_from_s`."""
        slow = self.slow
        if len(slow) < SLOWEST_KEPT:
            heappush(slow, (busy_s, index))
        else:
            heapreplace(slow, (busy_s, index))
            self.slow_from_s = slow[0][0]

    # --- read by anybody ------------------------------------------------------------------

    def now(self) -> Counts:
        """All of them, over the life of the enqueuer."""
        return Counts(
            self.delivered,
            self.computed,
            self.skipped,
            self.retried,
            self.respawns,
            self.memory_deaths,
            self.shortages,
            self.nbytes,
            self.waits,
            self.waited_s,
            self.inside_s,
            self.span_s + max(0.0, self.left_s - self.begun_s),
            self.turned_s,
            self.first_s,
            self.blocked_s,
        )
