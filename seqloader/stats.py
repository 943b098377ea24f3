"""What an enqueuer has done so far, in numbers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Counters", "Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot; it does not change any more.

    Counts are over the life of the enqueuer, restarts included.
    """

    delivered: int
    """Batches handed over."""
    skipped: int
    """Batches left out by `on_error="skip"`; after a load, those of the run before included."""
    retried: int
    """Tickets issued again because `__getitem__` raised or its worker died."""
    respawns: int
    """Workers that died, without those that `resize` had told to leave."""
    waited_s: float
    """Seconds the consumer waited for batches."""
    nbytes: int
    """Bytes of the batches handed over, where the executor knows them."""
    in_flight: int
    """Batches being computed, or computed and not handed over."""
    held_bytes: int
    """Bytes of the batches that the consumer still refers to (process executor)."""
    busy_s: Mapping[int, float]
    """Slot -> seconds its workers have computed."""


class Counters:
    """The counts behind `Stats`; changed by the consumer only."""

    __slots__ = (
        "busy_s",
        "delivered",
        "memory_deaths",
        "nbytes",
        "respawns",
        "retried",
        "skipped",
        "waited_s",
    )

    def __init__(self) -> None:
        self.delivered = self.skipped = self.retried = self.respawns = self.nbytes = 0
        self.memory_deaths = 0
        """Of those that died, how many were killed for want of memory."""
        self.waited_s = 0.0
        self.busy_s: defaultdict[int, float] = defaultdict(float)

    def snapshot(self, *, in_flight: int, held_bytes: int) -> Stats:
        """As an immutable `Stats`. Any thread."""
        return Stats(
            delivered=self.delivered,
            skipped=self.skipped,
            retried=self.retried,
            respawns=self.respawns,
            waited_s=self.waited_s,
            nbytes=self.nbytes,
            in_flight=in_flight,
            held_bytes=held_bytes,
            busy_s=MappingProxyType(dict(self.busy_s)),
        )
