"""What is observed of a run: words on the board, always; and a trace, where one is written.

The parts of a run say here what they do. What costs something for each batch is one store or two
(see Delivery), and one look for a trace that is not there.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from seqloader.errors import SeqloaderWarning
from seqloader.run.board import (
    BEFORE,
    COUNT,
    DIED,
    DOING,
    DOINGS,
    EPOCH,
    FIRST,
    OWNER,
    POSITION,
    QUEUE,
    SINCE,
    WAITED,
    WORKERS,
    Board,
    no_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.executors.protocol import Executor
    from seqloader.order import Plan
    from seqloader.run.board import Seconds
    from seqloader.run.trace.events import Trace
    from seqloader.stats import Counters, Stats

__all__ = ["TRACE_VARIABLE", "Observed"]

TRACE_VARIABLE: Final = "SEQLOADER_TRACE"
"""Names a file: every enqueuer of the process writes a trace."""


PLACES: Final = {name: place for place, name in enumerate(DOINGS)}


class Observed:
    """The board and the trace of one run."""

    def __init__(self) -> None:
        self.board = Board()
        self.trace: Trace | None = None
        """Where one is written."""
        self.words, self.seconds = self.board.words, self.board.seconds
        """Of the board, for whoever stores one for each batch."""
        self.waits: Seconds | None = None
        """The seconds, where the consumer waits for workers: it says since when, and how long."""
        self._own_trace: Trace | None = None
        """The one that the environment asks for, kept over stops and starts."""

    # --- sessions ---------------------------------------------------------------------------

    def session_begins(
        self, subject: str, counters: Counters, facts: Callable[[], Stats | None]
    ) -> None:
        """An executor is about to be started."""
        board = self.board
        self._take_down()
        board.open(subject)
        self.words, self.seconds = board.words, board.seconds
        self.words[BEFORE], self.words[DIED] = counters.delivered, counters.respawns
        self.seconds[WAITED] = counters.waited_s
        if self.trace is None and os.environ.get(TRACE_VARIABLE):
            from seqloader.run.trace.by_environment import trace_by_environment

            self._own_trace = self.trace = trace_by_environment(
                os.environ[TRACE_VARIABLE], subject, facts, self._own_trace
            )
        self.begins("start")

    def started(self, workers: int, queue: int) -> None:
        """It has started, with so many workers and so large a queue."""
        self.ends()
        self.resized(workers, queue)

    def session_ends(self) -> None:
        """The executor has stopped."""
        self.ends()
        self._take_down()
        trace = self.trace
        if trace is not None:
            trace.happens("stop")
            trace.file.flush()
            if trace is self._own_trace:
                self.trace = None
                trace.close()

    def _take_down(self) -> None:
        # Let go of its words first: after an interrupt, nobody may store one that is gone.
        self.waits = None
        self.words, self.seconds = no_words()
        self.board.close()

    def resized(self, workers: int, queue: int) -> None:
        """So many workers, and so large a queue, from now on."""
        words = self.words
        words[WORKERS], words[QUEUE] = workers, queue
        self.waits = self.seconds if workers else None
        if self.trace is not None:
            self.trace.happens("size", {"workers": workers, "max_queue_size": queue})

    # --- what the consumer does -------------------------------------------------------------

    def begins(self, name: str) -> None:
        """The consumer begins something that may take long: one of `DOINGS`."""
        words = self.words
        words[SINCE] = time.monotonic_ns()
        words[DOING] = PLACES[name]
        if self.trace is not None:
            self.trace.begins(name)

    def ends(self) -> None:
        """It has ended."""
        self.words[DOING] = 0
        if self.trace is not None:
            self.trace.ends()

    # --- epochs -----------------------------------------------------------------------------

    def epoch_begins(
        self, plan: Plan, first: int, delivered: int, executor: Executor, size: tuple[int, int]
    ) -> None:
        """An epoch is under way, and begins with position `first`, when so many were delivered."""
        words, count = self.words, plan.count
        words[OWNER] = id(executor)
        words[WORKERS], words[QUEUE] = size
        words[EPOCH], words[POSITION] = plan.epoch, first
        words[FIRST], words[BEFORE] = first, delivered
        words[COUNT] = 0 if count is None else count + 1
        words[DOING] = 0
        if self.trace is not None:
            self.trace.epoch_begins(plan.epoch, count)

    def epoch_ends(self, number: int) -> None:
        """It is over."""
        if self.trace is not None:
            self.trace.epoch_ends(number)

    def died(self, respawns: int) -> None:
        """So many workers have died."""
        self.words[DIED] = respawns

    def trace_failure(self) -> Warning | None:
        """Why the trace has ended, if an error in writing ended it; told once."""
        trace = self.trace
        if trace is None or trace.file.failure is None:
            return None
        self.trace = None
        trace.file.close()
        why = trace.file.failure
        return SeqloaderWarning(
            f"the trace {trace.file.path} ends here, because it cannot be written: {why}. The "
            "batches go on without it"
        )
