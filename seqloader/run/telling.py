"""Telling the user how an epoch goes: on a bar while it does, and in the log when it has ended.

Whether somebody wants to know is asked first, and that costs next to nothing: a comparison for each
batch, a look at `sys.modules` for each epoch.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from seqloader.executors.diagnostics import diagnostics_of, worked_by
from seqloader.stats.stats import snapshot

if TYPE_CHECKING:
    from logging import Logger

    from seqloader.run.ahead import Ahead
    from seqloader.run.epoch import Epoch
    from seqloader.run.progress import Progress
    from seqloader.run.session import Session
    from seqloader.stats import Counters, Stats
    from seqloader.stats.verdict import Verdict
    from seqloader.tickets import Worked

__all__ = ["Telling"]


class Telling:
    """Of the epochs of one run.

    Raises:
        ImportError: There is to be a bar, and tqdm is not installed.
    """

    def __init__(self, session: Session, counters: Counters, ahead: Ahead) -> None:
        self.look_at_s = math.inf
        """By the clock: when the bar is due."""
        self._session = session
        self._counters = counters
        self._ahead = ahead
        self._progress: Progress | None = None
        if session.options.progress:
            from seqloader.run.progress import Progress

            self._progress = Progress()
            self.look_at_s = 0.0

    def stats(self, epoch: Epoch | None) -> Stats:
        """A snapshot. Takes no lock: any thread, any time."""
        if epoch is None:
            return self._stats(None)
        while True:
            waiting = epoch.handovers.undelivered
            stats = self._stats(epoch, found=0 if waiting is None else 1)
            if epoch.handovers.undelivered == waiting:  # else the consumer went on meanwhile
                return stats

    def _stats(self, epoch: Epoch | None, found: int = 0) -> Stats:
        """`found`: batches that are counted as delivered, and wait in their handover."""
        known = diagnostics_of(self._session.executor)
        return snapshot(
            self._counters,
            workers=self._session.workers,
            in_flight=self._ahead.in_flight + (0 if epoch is None else epoch.window.ahead),
            held_bytes=known.held_bytes(),
            held_batches=known.held_batches(),
            worked=self.worked(),
            found=found,
        )

    def worked(self) -> Worked | None:
        """What computing has taken all workers of the run so far; None: unknown. Any thread."""
        counters, executor = self._counters, self._session.executor
        if executor is None:
            return counters.worked
        worked, earlier = worked_by(executor), counters.worked_earlier
        return None if worked is None or earlier is None else earlier.beside(worked)

    def look(self, now_s: float, epoch: Epoch | None) -> None:
        """A batch is about to be handed over, and the bar is due."""
        from seqloader.run.progress import REFRESH_S

        self.look_at_s = now_s + REFRESH_S
        if epoch is not None:
            self._show(epoch, self._stats(epoch))

    def ended(self, epoch: Epoch) -> None:
        """An epoch is about to end, and nothing can be lost."""
        logger, trace = _logger(), epoch.observed.trace
        if self._progress is None and logger is None and trace is None:
            return
        from seqloader.run.judging import verdict_of

        stats = self.stats(epoch)
        verdict = verdict_of(stats, self._session, epoch)
        if self._progress is not None:
            self._show(epoch, stats, verdict)
            if stats.epoch is not None and _waits(stats.epoch):
                self._progress.say(verdict)
            self.look_at_s = 0.0
        if trace is not None:
            trace.happens("verdict", {"epoch": epoch.number, "text": str(verdict)})
        if logger is not None:
            logger.info("epoch %d: %s", epoch.number, verdict)

    def close(self) -> None:
        """The epoch is not under way any more."""
        if self._progress is not None:
            self._progress.close()
            self.look_at_s = 0.0

    def _show(self, epoch: Epoch, stats: Stats, verdict: Verdict | None = None) -> None:
        own = stats.epoch
        if self._progress is None or own is None:
            return
        if verdict is None and _waits(own):
            from seqloader.run.judging import verdict_of

            verdict = verdict_of(stats, self._session, epoch)
        done = epoch.handovers.next_position
        self._progress.show(own, done, epoch.plan.count, verdict)


def _waits(stats: Stats) -> bool:
    from seqloader.stats.judge import FED_SHARE

    return stats.waited_share > FED_SHARE


def _logger() -> Logger | None:
    """The package's, if anybody listens to what it says at INFO."""
    logging = sys.modules.get("logging")
    if logging is None:  # then nobody has set it up, and it takes long to import
        return None
    # Not by `getLogger` and `isEnabledFor`: they take a lock that all threads wait for, and an
    # interrupt in there would leave it taken.
    manager = logging.root.manager
    known = manager.loggerDict.get("seqloader")
    logger: Logger = known if isinstance(known, logging.Logger) else logging.root
    if manager.disable >= logging.INFO or logger.getEffectiveLevel() > logging.INFO:
        return None
    found: Logger = logger if logger is known else logging.getLogger("seqloader")
    return found
