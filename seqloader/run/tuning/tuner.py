"""The shell of tuning: it looks at what happened, asks the rule, and acts.

There is no thread for it. The consumer asks for every batch (`asked`), which costs one reading of
the clock. Every half a second, if enough batches have come, it looks; and at once where a batch is
larger than all before, since that is about memory.

Not here: what is decided (rule), what may be had (budget), how a pool is resized (session).
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from seqloader.memory.cpus import usable_cpus
from seqloader.run.tuning.budget import Budget, Claim
from seqloader.run.tuning.facts import Facts, Size, batches_of, bytes_of, fitting
from seqloader.run.tuning.interval import Interval, Measures
from seqloader.run.tuning.log import TuningStep
from seqloader.run.tuning.rule import Rule

if TYPE_CHECKING:
    from collections import deque

    from seqloader.run.epoch import Epoch
    from seqloader.run.tuning.budget import Share
    from seqloader.run.tuning.rule import Decision

__all__ = ["Tuner"]

LOOK_S: Final = 0.5
"""The shortest interval that is looked at."""

LONGEST_LOOK_S: Final = 10.0
"""An interval in which hardly a batch came is looked at all the same."""

LEAST_BATCHES: Final = 4

AWAY_S: Final = 1.0
AWAY_STEPS: Final = 10
"""A consumer that stays away so long, and as long as that many of its steps, does something else:
it validates, or saves. That says nothing of the size."""

WORKER_BYTES: Final = 60_000_000
"""Of a worker that has not told: an interpreter with numpy."""


class Tunable(Protocol):
    """What tuning asks of a session."""

    executor: Any

    @property
    def workers(self) -> int:
        """How many there are."""

    @property
    def max_queue_size(self) -> int:
        """Batches ahead."""

    def tune(self, workers: int, max_queue_size: int) -> None:
        """Be of this size from now on."""


class Tuner:
    """Sizes one enqueuer, from start to start.

    Args:
        steps: what is decided is appended to.
        workers, queue: what is tuned.
        bounded: whether `max_queue_bytes` bounds the batches: then they are not in the budget.
        budget: what may be had.
    """

    def __init__(
        self,
        steps: deque[TuningStep],
        *,
        workers: bool,
        queue: bool,
        bounded: bool,
        budget: Budget | None = None,
    ) -> None:
        self.workers, self.queue = workers, queue
        self._steps = steps
        self._rule = Rule(workers=workers, queue=queue)
        self._bounded = bounded
        self._batch_bytes: int | None = 0 if bounded else None
        """The largest; None: not known yet."""
        self._worker_bytes = WORKER_BYTES
        self._budget = budget or Budget()
        self._cpus = 1
        self._born_s = monotonic()
        self._interval: Interval | None = None
        self._asked_s = self._waited_s = 0.0
        """When a batch was asked for last, and how long had been waited until then."""
        self._step_s: float | None = None
        """The consumer's own time for a batch; None: not known yet."""
        self._look_at_s = 0.0
        """When there may be enough to look at."""

    def begin(self, workers: int, queue: int) -> Size:
        """An executor is about to be started: with so much of this as there is room for.

        Before the size of a batch is known, there is one ahead for each worker.
        """
        self._interval = None
        self._cpus = usable_cpus()
        size = Size(workers, queue)
        if self.queue:
            known = self._batch_bytes is not None
            size = self._rule.usual(size.workers) if known else Size(size.workers, size.workers)

        def decide(share: Share) -> Claim:
            nonlocal size
            facts = self._facts(size, _nothing(), share)
            size = fitting(size, facts, workers=self.workers, queue=self.queue)
            return self._claim(size, facts, used=size.workers)

        self._budget.renew(decide)
        return size

    def end(self) -> None:
        """It has stopped. Waits for nobody."""
        self._interval = None
        self._budget.release()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._budget.release()

    # --- for every batch ------------------------------------------------------------------

    def asked(self, session: Tunable, epoch: Epoch) -> None:
        """The consumer asks for its next batch."""
        now_s, waited_s = monotonic(), epoch.counters.waited_s
        interval = self._interval
        gap_s = now_s - self._asked_s
        if interval is None or (gap_s > AWAY_S and self._was_away(gap_s, waited_s)):
            self._begin_interval(session, epoch, now_s)
        elif now_s >= self._look_at_s or self._is_outgrown(epoch):
            self._look(session, epoch, interval, now_s)
        self._asked_s, self._waited_s = now_s, waited_s

    def _was_away(self, gap_s: float, waited_s: float) -> bool:
        away_s = gap_s - (waited_s - self._waited_s)
        step_s = self._step_s
        return step_s is not None and away_s > max(AWAY_S, AWAY_STEPS * step_s)

    def _is_outgrown(self, epoch: Epoch) -> bool:
        """Whether a batch has come that is larger than all before."""
        largest = epoch.window.largest_bytes
        if largest is None or self._bounded:
            return False
        return self._batch_bytes is None or largest > self._batch_bytes

    def _begin_interval(self, session: Tunable, epoch: Epoch, now_s: float) -> None:
        self._interval = Interval(epoch.counters, session.executor, now_s)
        self._look_at_s = now_s + LOOK_S

    # --- now and then ---------------------------------------------------------------------

    def _look(self, session: Tunable, epoch: Epoch, interval: Interval, now_s: float) -> None:
        size = Size(session.workers, session.max_queue_size)
        is_outgrown = self._is_outgrown(epoch)
        if is_outgrown:
            self._batch_bytes = epoch.window.largest_bytes
        enough = interval.delivered >= max(LEAST_BATCHES, 2 * size.workers)
        whole = enough or now_s - interval.began_s >= LONGEST_LOOK_S
        if not (whole or is_outgrown):
            self._look_at_s = now_s + LOOK_S / 4
            return
        measures = interval.until(session.executor, now_s)
        if measures.worker_bytes:
            self._worker_bytes = measures.worker_bytes
        if whole and measures.delivered:
            self._step_s = (measures.seconds - measures.waited_s) / measures.delivered
        found: list[tuple[Facts, Decision]] = []

        def decide(share: Share) -> Claim:
            facts = self._facts(size, measures, share)
            decision = self._rule.look(facts) if whole else self._rule.heed_memory(facts)
            if decision is not None:
                found.append((facts, decision))
            to = size if decision is None else decision.size
            return self._claim(to, facts, used=epoch.counters.delivered + epoch.window.ahead)

        if not self._budget.renew(decide):  # the interval goes on
            self._look_at_s = now_s + LOOK_S / 4
            return
        for facts, decision in found:
            self._act(session, facts, decision, now_s)
        self._begin_interval(session, epoch, now_s)

    def _act(self, session: Tunable, facts: Facts, decision: Decision, now_s: float) -> None:
        before, size = facts.size, decision.size
        room = facts.room_bytes
        self._steps.append(
            TuningStep(
                seconds=now_s - self._born_s,
                workers=(before.workers, size.workers),
                max_queue_size=(before.queue, size.queue),
                reason=decision.reason,
                rate=facts.rate,
                budget_bytes=int(room) if room < float("inf") else None,
            )
        )
        session.tune(size.workers, size.queue)

    def _facts(self, size: Size, measures: Measures, share: Share) -> Facts:
        return Facts(
            size=size,
            seconds=measures.seconds,
            waited_s=measures.waited_s,
            delivered=measures.delivered,
            busy_s=measures.busy_s,
            cpu_s=measures.cpu_s,
            cpu_waited_s=measures.cpu_waited_s,
            ready=measures.ready,
            cpus=self._cpus - share.cpus_taken,
            batch_bytes=self._batch_bytes or 0,
            worker_bytes=self._worker_bytes,
            room_bytes=share.room_bytes,
            memory_deaths=measures.memory_deaths,
        )

    def _claim(self, size: Size, facts: Facts, *, used: int) -> Claim:
        """`used`: batches that have been in memory so far."""
        nbytes = bytes_of(size, facts)
        batches = min(used, batches_of(size))
        used_bytes = facts.ready * facts.worker_bytes + batches * facts.batch_bytes
        cpus = (facts.cpu_s or 0.0) / facts.seconds
        return Claim(nbytes, min(nbytes, used_bytes), cpus, hungry=self._rule.hungry)


def _nothing() -> Measures:
    return Measures(1.0, 0.0, 0, 0.0, 0, 0, 0.0, 0.0, 0)
