"""What an enqueuer has done so far, in numbers: a snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.stats.counters import Counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqloader.stats.counters import Counters
    from seqloader.tickets import Worked

__all__ = ["Slow", "Stats", "snapshot"]


class Slow(NamedTuple):
    """One of the slowest batches: `enqueuer.compute(index, epoch)` reproduces it."""

    index: int  # type: ignore[assignment]  # a field, where tuples have a method
    seconds: float
    """That its worker spent on it."""


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot; it does not change any more.

    Counts are over the life of the enqueuer, restarts included; those in `epoch` are of one epoch.
    The three times `waited_s`, `handed_s` and `loop_s` add up to the time from the beginning of an
    epoch to its last batch so far.
    """

    delivered: int
    """Batches handed over."""
    computed: int
    """Times that a worker was through with a batch: `busy_s` is the time of these. Batches ahead of
    the consumer, later epochs' included, and attempts that raised are among them."""
    skipped: int
    """Batches left out by `on_error="skip"`; after a load, those of the run before included."""
    retried: int
    """Tickets issued again because `__getitem__` raised or its worker died."""
    respawns: int
    """Workers that died, without those that `resize` had told to leave."""
    memory_deaths: int
    """Of these, those that were killed for want of memory."""
    shortages: int
    """Times that a worker could not be replaced at once, and fewer went on."""
    waits: int
    """Batches that were not there when the consumer asked for them."""
    waited_s: float
    """Seconds the consumer waited for batches."""
    handed_s: float
    """Seconds that handing them over took the consumer."""
    loop_s: float
    """Seconds between batches: what the loop did with them."""
    turned_s: float
    """Seconds for beginning and ending epochs: hooks, and sending what changed."""
    first_s: float
    """Of `waited_s`, what the first batch of each epoch took: workers start, and the window
    fills."""
    blocked_s: float
    """Of `waited_s`, when workers idled because the window was full of later batches."""
    idle_s: float
    """Seconds that workers had nothing to do, or started, with as many as there are now."""
    nbytes: int
    """Bytes of the batches handed over, where the executor knows them."""
    in_flight: int
    """Batches being computed, or computed and not handed over."""
    held_bytes: int
    """Bytes of the batches that the consumer still refers to (process executor)."""
    held_batches: int
    """How many these are."""
    busy_s: Mapping[int, float]
    """Slot -> seconds its workers have computed."""
    cpu_s: float | None
    """CPU seconds of these, all threads of a worker included; None: the executor does not know."""
    encoded_s: float | None
    """Seconds of these for writing batches into shared memory; None as above."""
    slowest: tuple[Slow, ...]
    """Of the epoch: up to 32 batches, the slowest first."""
    number: int | None = None
    """Of the epoch; None: these are the counts of all."""
    epoch: Stats | None = field(default=None, repr=False)
    """The same of the epoch under way, between two of the one that ended; None: there was none."""

    @property
    def waited_share(self) -> float:
        """Share of the consumer's time that it waited, 0 to 1."""
        span_s = self.waited_s + self.handed_s + self.loop_s
        return min(1.0, self.waited_s / span_s) if span_s > 0 else 0.0

    @property
    def batches_per_s(self) -> float:
        """Batches handed over per second of the consumer's time; 0.0 before the first."""
        span_s = self.waited_s + self.handed_s + self.loop_s
        return self.delivered / span_s if span_s > 0 else 0.0

    def as_scalars(self, prefix: str = "seqloader/") -> dict[str, float]:
        """A flat dictionary of numbers, as TensorBoard and W&B take them.

        Keys are `prefix` and the names of the fields; of `busy_s` the sum; those of the epoch have
        `epoch/` before their names. What is unknown is left out.

            wandb.log(enqueuer.stats().as_scalars(), step=step)
            for name, value in enqueuer.stats().as_scalars().items():
                writer.add_scalar(name, value, step)
        """
        scalars = {f"{prefix}{name}": value for name, value in self._scalars().items()}
        if self.epoch is not None:
            scalars |= self.epoch.as_scalars(f"{prefix}epoch/")
        return scalars

    def _scalars(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for each in fields(self):
            value: Any = getattr(self, each.name)
            if each.name == "busy_s":
                value = sum(value.values())
            if isinstance(value, (int, float)):
                found[each.name] = float(value)
        found["waited_share"] = self.waited_share
        found["batches_per_s"] = self.batches_per_s
        return found


def snapshot(
    counters: Counters,
    *,
    workers: int,
    in_flight: int,
    held_bytes: int,
    held_batches: int,
    worked: Worked | None,
    found: int = 0,
) -> Stats:
    """The counters as an immutable `Stats`. Any thread.

    Args:
        workers: How many there are now.
        worked: By all workers so far; None: unknown.
        found: Batches that are counted as delivered already, and have not been returned.
    """
    counts, busy_s = counters.now(), dict(counters.busy_s)
    counts = counts._replace(delivered=counts.delivered - found)
    before, busy_before = counters.before, counters.busy_before
    now = {"in_flight": in_flight, "held_bytes": held_bytes, "held_batches": held_batches}
    slowest = tuple(Slow(index, seconds) for seconds, index in sorted(counters.slow, reverse=True))
    epoch = None
    if counters.epoch is not None:
        since = Counts._make(a - b for a, b in zip(counts, before, strict=True))
        busy = {slot: seconds - busy_before.get(slot, 0.0) for slot, seconds in busy_s.items()}
        spent = None
        if worked is not None and counters.worked_before is not None:
            spent = worked.since(counters.worked_before)
        known = {**now, "slowest": slowest, "number": counters.epoch}
        epoch = _stats(since, busy, spent, workers, known)
    return _stats(counts, busy_s, worked, workers, {**now, "slowest": slowest, "epoch": epoch})


def _stats(
    counts: Counts,
    busy_s: dict[int, float],
    worked: Worked | None,
    workers: int,
    known: dict[str, Any],
) -> Stats:
    return Stats(
        delivered=counts.delivered,
        computed=counts.computed,
        skipped=counts.skipped,
        retried=counts.retried,
        respawns=counts.respawns,
        memory_deaths=counts.memory_deaths,
        shortages=counts.shortages,
        waits=counts.waits,
        waited_s=counts.waited_s,
        handed_s=max(0.0, counts.inside_s - counts.waited_s),
        loop_s=max(0.0, counts.span_s - counts.inside_s),
        turned_s=counts.turned_s,
        first_s=counts.first_s,
        blocked_s=counts.blocked_s,
        idle_s=max(0.0, workers * counts.span_s - sum(busy_s.values())),
        nbytes=counts.nbytes,
        busy_s=MappingProxyType(busy_s),
        cpu_s=None if worked is None else worked.cpu_s,
        encoded_s=None if worked is None else worked.encoded_s,
        **known,
    )
