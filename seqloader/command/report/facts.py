"""What a trace says, as figures: events in, facts out. Pure.

Where a trace was thinned, each batch that is there stands for as many as were left out: its
`weight`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = ["Batch", "Facts", "Mark", "Memory", "Span", "facts_of"]

CONSUMER: Final = 1
EPOCHS: Final = 2
FIRST_WORKER: Final = 10
TICKET: Final = ("epoch", "position", "index", "attempt")


class Span(NamedTuple):
    """Something that took a while. Times are seconds since the trace began."""

    name: str
    begin_s: float
    end_s: float
    arguments: dict[str, Any]
    weight: int = 1
    ended: bool = True
    """False: the trace ends inside of it."""


@dataclass
class Batch:
    """What a worker spent on one ticket."""

    epoch: int
    position: int
    index: int
    attempt: int
    slot: int
    begin_s: float
    weight: int
    take_s: float = 0.0
    compute_s: float = 0.0
    encode_s: float = 0.0
    nbytes: int = 0
    raised: str = ""

    @property
    def busy_s(self) -> float:
        """From taking the ticket to answering it."""
        return self.take_s + self.compute_s + self.encode_s


class Mark(NamedTuple):
    """Something that happened at one instant."""

    name: str
    at_s: float
    slot: int | None
    arguments: dict[str, Any]


class Memory(NamedTuple):
    """At one instant, in bytes."""

    at_s: float
    consumer: int
    workers: int
    held: int


@dataclass
class Facts:
    """All of a trace."""

    subject: str = "?"
    length_s: float = 0.0
    whole: bool = True
    """Whether the trace has its end."""
    workers: int = 0
    """Lanes of workers."""
    batches: list[Batch] = field(default_factory=list)
    consumer: list[Span] = field(default_factory=list)
    """Waits, hand-overs, hooks, and what the loop did: in order, one at a time."""
    epochs: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    totals: dict[str, float] = field(default_factory=dict)
    thinned: int = 1
    """Of how many batches one was written, at the end."""
    first_totals: dict[str, float] = field(default_factory=dict)

    def spent_s(self, name: str) -> float:
        """By the consumer, in spans of that name."""
        return sum((s.end_s - s.begin_s) * s.weight for s in self.consumer if s.name == name)

    @property
    def waited_s(self) -> float:
        """Inside waits; counted by the enqueuer itself where the trace says so."""
        key = "waited_s"
        counted = self.totals.get(key, 0.0) - self.first_totals.get(key, 0.0)
        return max(counted, self.spent_s("wait") if self.thinned == 1 else 0.0)

    @property
    def verdict(self) -> str:
        """Of the last epoch that ended; empty: none did."""
        told = [mark.arguments for mark in self.marks if mark.name == "verdict"]
        return f"Epoch {told[-1]['epoch']}: {told[-1]['text']}" if told else ""

    @property
    def delivered(self) -> int:
        """Batches handed over while the trace was written."""
        counted = self.totals.get("delivered", 0) - self.first_totals.get("delivered", 0)
        handed = sum(s.weight for s in self.consumer if s.name == "hand over")
        return max(int(counted), handed if self.thinned == 1 else 0)


def facts_of(events: list[dict[str, Any]], whole: bool) -> Facts:
    """The facts of these events, which stand in the order in which they were written."""
    timed = [event for event in events if "ts" in event]
    facts = Facts(whole=whole)
    if not timed:
        return facts
    begin_us = min(event["ts"] for event in timed)
    end_us = max(event["ts"] + event.get("dur", 0.0) for event in timed)
    facts.length_s = (end_us - begin_us) / 1e6
    reader = _Reader(facts, begin_us)
    for event in events:
        reader.take(event)
    reader.end()
    return facts


class _Reader:
    def __init__(self, facts: Facts, begin_us: float) -> None:
        self.facts = facts
        self.begin_us = begin_us
        self.open: dict[int, list[Span]] = {}
        self.by_lane: dict[int, Batch] = {}
        self.slots: set[int] = set()
        self.weight = 1

    def at(self, event: dict[str, Any]) -> float:
        return float(event["ts"] - self.begin_us) / 1e6

    def take(self, event: dict[str, Any]) -> None:
        phase, lane = event.get("ph"), event.get("tid", 0)
        arguments = event.get("args", {})
        if phase == "M":
            if event["name"] == "process_name":
                self.facts.subject = arguments["name"]
        elif phase == "X" and lane >= FIRST_WORKER:
            self.work(event, lane - FIRST_WORKER, arguments)
        elif phase == "X":
            begin_s, length_s = self.at(event), event["dur"] / 1e6
            spans = self.facts.consumer
            spans.append(Span(event["name"], begin_s, begin_s + length_s, arguments, self.weight))
        elif phase == "B":
            span = Span(event["name"], self.at(event), 0.0, arguments, self.weight)
            self.open.setdefault(lane, []).append(span)
        elif phase == "E":
            if (begun := self.open.get(lane)) and begun[-1].name == event["name"]:
                self.close(lane, begun.pop()._replace(end_s=self.at(event)))
        elif phase == "C":
            self.count(event, arguments)
        elif phase == "i":
            if event["name"] == "thinned":
                self.weight = self.facts.thinned = arguments["every"]
            slot = lane - FIRST_WORKER if lane >= FIRST_WORKER else None
            self.facts.marks.append(Mark(event["name"], self.at(event), slot, arguments))

    def work(self, event: dict[str, Any], slot: int, arguments: dict[str, Any]) -> None:
        name, length_s = event["name"], event["dur"] / 1e6
        self.slots.add(slot)
        epoch, position, index, attempt = ticket = tuple(int(arguments[key]) for key in TICKET)
        batch = self.by_lane.get(slot)
        known = batch and (batch.epoch, batch.position, batch.index, batch.attempt) == ticket
        if batch is None or not known or name == "take" or (name == "compute" and batch.compute_s):
            batch = self.by_lane[slot] = Batch(
                epoch, position, index, attempt, slot, self.at(event), self.weight
            )
            self.facts.batches.append(batch)
        if name == "take":
            batch.take_s = length_s
        elif name == "compute":
            batch.compute_s = length_s
            batch.nbytes = arguments.get("bytes", 0)
            batch.raised = arguments.get("raised", "")
        else:
            batch.encode_s = length_s

    def close(self, lane: int, span: Span) -> None:
        (self.facts.epochs if lane == EPOCHS else self.facts.consumer).append(span)

    def count(self, event: dict[str, Any], arguments: dict[str, Any]) -> None:
        if event["name"] == "memory":
            held = arguments["batches held"]
            sample = Memory(self.at(event), arguments["consumer"], arguments["workers"], held)
            self.facts.memory.append(sample)
        elif event["name"] == "totals":
            self.facts.totals = arguments
            self.facts.first_totals = self.facts.first_totals or arguments

    def end(self) -> None:
        facts = self.facts
        facts.workers = len(self.slots)
        for lane, spans in self.open.items():
            for span in spans:
                self.close(lane, span._replace(end_s=facts.length_s, ended=False))
        facts.consumer.sort(key=lambda span: span.begin_s)
        facts.batches.sort(key=lambda batch: batch.begin_s)
