"""What happens in a run, as events of the trace-event format.

Lanes (`tid`)
    1        the consumer: its waits, hand-overs and hooks, and what the loop did between batches
    2        the epochs
    10 + n   the worker in slot n: take (load a new state), compute, encode; a gap is idle

All times are those of one clock: CLOCK_MONOTONIC, which the workers read as well.

Kept small, since it is paid for each batch: the events of a batch are put together by formatting.
Strings of the user's go through `json`.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from seqloader.run.trace.memory import memory_bytes
from seqloader.tickets import Death, Lost, Raised, Shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.run.trace.file import TraceFile
    from seqloader.stats import Stats
    from seqloader.tickets import Ticket

__all__ = ["CONSUMER", "EPOCHS", "FIRST_WORKER", "Trace"]

CONSUMER: Final = 1
EPOCHS: Final = 2
FIRST_WORKER: Final = 10
SAMPLE_NS: Final = 500_000_000
"""Memory and totals are written so often, at most."""


class Trace:
    """Turns what happens into lines of a file. Used under the lock of the session.

    Args:
        file: where they go.
        subject: what is loaded, for the viewer.
        facts: the counts so far; None where there is nobody to say.
    """

    def __init__(self, file: TraceFile, subject: str, facts: Callable[[], Stats | None]) -> None:
        self.file = file
        self._facts = facts
        self._pid = os.getpid()
        self._lanes: set[int] = set()
        self._inside = ""
        """What the consumer is inside of: its event has begun, and not ended."""
        self._handed: Ticket | None = None
        """Of the batch that the loop works with, handed over then."""
        self._handed_ns = 0
        self._sampled_ns = 0
        self._every = 1
        self._meta("process_name", 0, f"seqloader {subject} (pid {self._pid})")
        self._lane(CONSUMER, "consumer")
        self._lane(EPOCHS, "epochs")

    # --- the consumer -----------------------------------------------------------------------

    def begins(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """The consumer begins something that may take long, and may never end."""
        self._end_loop(now_ns := time.perf_counter_ns())
        # An exception may have come asynchronously before the end of another was written, and may
        # come here: then there is a beginning without an end, and never the other way round.
        self._leave(now_ns)
        self._put("B", name, CONSUMER, now_ns, arguments)
        self._inside = name
        self.file.flush()

    def ends(self) -> None:
        """It has ended."""
        if self._inside:
            self._leave(now_ns := time.perf_counter_ns())
            self._sample(now_ns)

    def _leave(self, now_ns: int) -> None:
        name, self._inside = self._inside, ""
        if name:
            self._put("E", name, CONSUMER, now_ns)

    def waits(self, epoch: int, position: int, index: int) -> None:
        """The consumer is about to wait for the batch due."""
        if position % self._every == 0:
            self.begins("wait", {"epoch": epoch, "position": position, "index": index})

    def handed(self, ticket: Ticket, begun_ns: int, ahead: int) -> None:
        """A batch was opened, and is on its way to the loop. `ahead`: batches in flight."""
        now_ns = time.perf_counter_ns()
        self._end_loop(begun_ns)
        self._handed, self._handed_ns = ticket, now_ns
        if ticket.position % self._every == 0:
            self._slice("hand over", CONSUMER, begun_ns, (now_ns - begun_ns) * 1e-9, ticket, "")
            self._count("in flight", now_ns, f'"batches":{ahead}')
        self._sample(now_ns)

    def _end_loop(self, now_ns: int) -> None:
        ticket, self._handed = self._handed, None
        if ticket is not None and ticket.position % self._every == 0:
            begun_ns = self._handed_ns
            self._slice("loop", CONSUMER, begun_ns, (now_ns - begun_ns) * 1e-9, ticket, "")

    # --- the workers ------------------------------------------------------------------------

    def arrived(self, outcome: Any) -> None:
        """This has come from the executor."""
        if isinstance(outcome, Lost):
            self._died(outcome.death, outcome.ticket)
        elif isinstance(outcome, Death):
            self._died(outcome, None)
        elif isinstance(outcome, Shortage):
            more = {"workers": outcome.workers, "wanted": outcome.wanted, "why": outcome.why}
            self.happens("no replacement", more)
        elif isinstance(outcome, Raised) or not isinstance(outcome, tuple):
            self._answered(outcome)

    def _answered(self, outcome: Any) -> None:
        ticket, busy_s = outcome.ticket, outcome.busy_s
        raised = isinstance(outcome, Raised)
        if ticket.position % self._every and not raised:
            return
        # An executor of the user's own may say no more than how long it took.
        now_ns = time.perf_counter_ns()
        begun_ns = getattr(outcome, "taken_ns", 0) or now_ns - int(busy_s * 1e9)
        take_s, encode_s = getattr(outcome, "take_s", 0.0), getattr(outcome, "encode_s", 0.0)
        lane = FIRST_WORKER + outcome.slot
        if lane not in self._lanes:
            self._lane(lane, f"worker {outcome.slot}")
        compute_s = max(0.0, busy_s - take_s - encode_s)
        if take_s > 0:
            self._slice("take", lane, begun_ns, take_s, ticket, "")
        if raised:
            more = f',"raised":{json.dumps(type(outcome.error).__qualname__)}'
        else:
            more = f',"bytes":{int(outcome.nbytes)}'
        computing_ns = begun_ns + int(take_s * 1e9)
        self._slice("compute", lane, computing_ns, compute_s, ticket, more)
        if encode_s > 0:
            encoding_ns = computing_ns + int(compute_s * 1e9)
            self._slice("encode", lane, encoding_ns, encode_s, ticket, "")
        if raised:
            where = {"epoch": ticket.epoch, "position": ticket.position, "index": ticket.index}
            where["error"] = type(outcome.error).__qualname__
            self._put("i", "raised", lane, now_ns, where)

    def _died(self, death: Death, ticket: Ticket | None) -> None:
        lane = FIRST_WORKER + death.slot
        if lane not in self._lanes:
            self._lane(lane, f"worker {death.slot}")
        more: dict[str, Any] = {"slot": death.slot, "pid": death.pid, "exitcode": death.exitcode}
        more |= {"reason": death.reason, "peak_rss_bytes": death.peak_rss_bytes}
        if ticket is not None:
            more |= {"epoch": ticket.epoch, "position": ticket.position, "index": ticket.index}
        self._put("i", "died", lane, time.perf_counter_ns(), more)
        self.file.flush()

    # --- the run ----------------------------------------------------------------------------

    def epoch_begins(self, number: int, count: int | None) -> None:
        """An epoch has begun."""
        more = {"epoch": number, "batches": count}
        self._put("B", f"epoch {number}", EPOCHS, time.perf_counter_ns(), more)

    def epoch_ends(self, number: int) -> None:
        """It has ended."""
        self._end_loop(now_ns := time.perf_counter_ns())
        self._put("E", f"epoch {number}", EPOCHS, now_ns)
        self._sample(now_ns)
        self.file.flush()

    def happens(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Something that is over at once."""
        self._put("i", name, CONSUMER, time.perf_counter_ns(), arguments)

    def close(self) -> None:
        """Write the end, and let go of the file."""
        self._end_loop(now_ns := time.perf_counter_ns())
        self.ends()
        self._sample(now_ns, always=True)
        self.file.close()

    # --- lines ------------------------------------------------------------------------------

    def _slice(
        self, name: str, lane: int, begun_ns: int, duration_s: float, ticket: Ticket, more: str
    ) -> None:
        self.file.add(
            f'{{"name":"{name}","cat":"batch","ph":"X","ts":{begun_ns / 1000:.3f},'
            f'"dur":{duration_s * 1e6:.3f},"pid":{self._pid},"tid":{lane},"args":{{'
            f'"epoch":{ticket.epoch},"position":{ticket.position},"index":{ticket.index},'
            f'"attempt":{ticket.attempt}{more}}}}}'
        )

    def _count(self, name: str, now_ns: int, values: str) -> None:
        self.file.add(
            f'{{"name":"{name}","ph":"C","ts":{now_ns / 1000:.3f},"pid":{self._pid},'
            f'"tid":{CONSUMER},"args":{{{values}}}}}'
        )

    def _put(
        self, phase: str, name: str, lane: int, now_ns: int, more: dict[str, Any] | None = None
    ) -> None:
        event: dict[str, Any] = {"name": name, "cat": "run", "ph": phase, "ts": now_ns / 1000}
        event |= {"pid": self._pid, "tid": lane}
        if phase == "i":
            event["s"] = "t"
        if more:
            event["args"] = more
        self.file.add(json.dumps(event))

    def _meta(self, name: str, lane: int, value: str) -> None:
        event = {"name": name, "ph": "M", "pid": self._pid, "tid": lane, "args": {"name": value}}
        self.file.add(json.dumps(event))

    def _lane(self, lane: int, name: str) -> None:
        self._lanes.add(lane)
        self._meta("thread_name", lane, name)
        order = {"name": "thread_sort_index", "ph": "M", "pid": self._pid, "tid": lane}
        self.file.add(json.dumps(order | {"args": {"sort_index": lane}}))

    def _sample(self, now_ns: int, *, always: bool = False) -> None:
        """Memory, totals, and how many batches are written from now on: not too often."""
        if now_ns - self._sampled_ns < SAMPLE_NS and not always:
            return
        self._sampled_ns = now_ns
        if (every := self.file.every) != self._every:
            self._every = every
            self.happens("thinned", {"every": every})
        facts = self._facts()
        if facts is not None:
            values = f'"delivered":{facts.delivered},"waited_s":{facts.waited_s:.6f}'
            values += f',"retried":{facts.retried},"died":{facts.respawns}'
            values += f',"skipped":{facts.skipped}'
            self._count("totals", now_ns, values)
        memory = memory_bytes()
        if memory is not None:
            held = 0 if facts is None else facts.held_bytes
            values = f'"consumer":{memory[0]},"workers":{memory[1]},"batches held":{held}'
            self._count("memory", now_ns, values)
