"""What is shown of an enqueuer: two snapshots in, words out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqloader.command.top.snapshot import Snapshot, Worker

__all__ = ["Memory", "Shown", "WorkerLine", "shown"]


class Memory(NamedTuple):
    """Of a process that lives, in bytes."""

    resident: int
    batches: int | None
    """In its arena; None: unknown."""


class WorkerLine(NamedTuple):
    """A worker that lives, in words."""

    slot: str
    pid: str
    state: str
    busy: str
    rate: str
    memory: str
    batches: str


@dataclass(frozen=True)
class Shown:
    """An enqueuer, in words."""

    title: str
    figures: str
    consumer: str
    is_waiting: bool
    workers: tuple[WorkerLine, ...]


def shown(before: Snapshot, now: Snapshot, living: Mapping[int, Memory]) -> Shown:
    """What to show of an enqueuer.

    Args:
        before: an earlier snapshot of the same session; rates are those between the two.
        living: pid -> memory of the workers that live.
    """
    consumer, passed_s = now.consumer, max(1e-9, (now.at_ns - before.at_ns) / 1e9)
    batches = consumer.delivered - before.consumer.delivered
    waited_ns = consumer.waited_ns - before.consumer.waited_ns
    is_waiting = consumer.doing == "wait"
    if is_waiting:  # the wait that lasts is not counted yet
        waited_ns += now.at_ns - max(before.at_ns, consumer.since_ns)
    waited = min(100.0, max(0.0, 100 * waited_ns / 1e9 / passed_s))
    there = [worker for worker in now.workers if worker.pid in living]
    share = f"; the consumer waited {waited:.0f} % of the last {passed_s:.1f} s"
    if not consumer.workers:
        share = f", in the last {passed_s:.1f} s"
    return Shown(
        title=_title(now, len(there)),
        figures=(
            f"{batches / passed_s:,.1f} batches/s{share}; {consumer.delivered:,} delivered, "
            f"{_died(consumer.died)}"
        ),
        consumer=_consumer(now, there, passed_s if batches == 0 else 0.0),
        is_waiting=is_waiting,
        workers=tuple(
            _worker(worker, before, now.at_ns, passed_s, living[worker.pid]) for worker in there
        ),
    )


def _title(now: Snapshot, there: int) -> str:
    consumer = now.consumer
    if now.has_processes:
        who = f"{there} of {consumer.workers} worker processes"
    else:
        who = f"{consumer.workers} threads" if consumer.workers else "computed in the consumer"
    length = "" if consumer.count is None else f" of {consumer.count:,}"
    return (
        f"{consumer.sequence}: {who}, queue {consumer.queue}; epoch {consumer.epoch}, "
        f"position {consumer.position:,}{length}"
    )


def _died(count: int) -> str:
    if not count:
        return "no worker died"
    return "1 worker died" if count == 1 else f"{count:,} workers died"


def _consumer(now: Snapshot, there: list[Worker], quiet_s: float) -> str:
    consumer = now.consumer
    lasts_s = max(0.0, (now.at_ns - consumer.since_ns) / 1e9)
    if consumer.doing == "wait":
        return f"has waited {_duration(lasts_s)} for {_due(now, there)}"
    if consumer.doing:
        return f"is in: {consumer.doing}, for {_duration(lasts_s)}"
    over = consumer.count is not None and consumer.position >= consumer.count
    if quiet_s and not consumer.workers and not over:
        return (
            f"computes position {consumer.position:,}, or is in your own code: no batch was taken "
            f"for {_duration(quiet_s)} at least"
        )
    if quiet_s:
        return f"is in your own code: no batch was taken for {_duration(quiet_s)} at least"
    return "takes batches"


def _due(now: Snapshot, there: list[Worker]) -> str:
    consumer = now.consumer
    place = f"position {consumer.position:,} of epoch {consumer.epoch}"
    for worker in there:
        is_it = (worker.epoch, worker.position) == (consumer.epoch, consumer.position)
        if worker.serial and is_it:
            since_s = max(0.0, (now.at_ns - worker.since_ns) / 1e9)
            return (
                f"batch {worker.index} ({place}), which worker {worker.slot} (pid {worker.pid}) "
                f"has had for {_duration(since_s)}"
            )
    if not now.has_processes:
        return place
    if not any(worker.serves for worker in there):
        return f"{place}; no worker has started yet"
    return f"{place}, which no worker works on now"


def _worker(
    worker: Worker, before: Snapshot, now_ns: int, passed_s: float, memory: Memory
) -> WorkerLine:
    known = {old.number: old for old in before.workers}.get(worker.number)
    answered = worker.answered - (0 if known is None else known.answered)
    busy_ns = worker.busy_ns - (0 if known is None else known.busy_ns)
    if worker.serial:  # what it works on is not counted yet
        busy_ns += max(0, now_ns - max(before.at_ns, worker.since_ns))
    busy = min(100.0, max(0.0, 100 * busy_ns / 1e9 / passed_s))
    return WorkerLine(
        slot=str(worker.slot),
        pid=str(worker.pid),
        state=_state(worker, now_ns),
        busy=f"{busy:.0f} %",
        rate=f"{answered / passed_s:,.1f}/s",
        memory=_mebibytes(memory.resident),
        batches="" if memory.batches is None else _mebibytes(memory.batches),
    )


def _state(worker: Worker, now_ns: int) -> str:
    if not worker.serves:
        return "starts"
    leaving = ", and leaves then" if worker.leaves else ""
    if not worker.serial:
        return "leaves" if worker.leaves else "is idle"
    lasts_s = (now_ns - worker.since_ns) / 1e9
    if lasts_s < -1:  # loading has a time limit of its own, which is noted as a later beginning
        return "loads the Sequence"
    where = f"batch {worker.index} (epoch {worker.epoch}, position {worker.position:,})"
    return f"computes {where}, for {_duration(max(0.0, lasts_s))}{leaving}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _mebibytes(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.0f} MiB"
