"""How many workers and batches ahead a session has: what was asked for, and what there is now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from seqloader.errors import SeqloaderWarning
from seqloader.run import messages
from seqloader.run.options import checked_queue, checked_workers, is_auto, without_effect

if TYPE_CHECKING:
    from seqloader.run.options import AutoInt, Options
    from seqloader.run.tuning.log import TuningStep
    from seqloader.run.tuning.tuner import Tuner

__all__ = ["Sizing"]

MOST_STEPS: Final = 1000
"""Decisions that are kept."""


class Sizing:
    """The size of one session, from start to start.

    Attributes:
        workers: how many there are, or are to be; 0: the consumer computes.
        queue: batches ahead of the consumer, at most.
        tuner: who finds out what is "auto"; None: nothing is. Asked for every batch.
        steps: what a tuner has decided.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._usual_workers = options.workers
        """For the next start."""
        self._usually_auto = options.auto_workers
        self.tuner: Tuner | None = None
        self.steps: deque[TuningStep] = deque(maxlen=MOST_STEPS)
        self._ask(options.workers, options.auto_workers, options.max_queue_size, options.auto_queue)
        self._warn_of_misfits(options.workers, options.max_queue_size)

    def ask(self, workers: AutoInt | None, queue: AutoInt | None) -> None:
        """What a start is asked for; None: as usual.

        Raises:
            TypeError, ValueError: it is not possible. Nothing has changed.
        """
        options = self._options
        length, auto_queue = checked_queue(queue, options.executor), is_auto(queue)
        if queue is None:
            length, auto_queue = options.max_queue_size, options.auto_queue
        count = self._usual_workers if workers is None else workers
        count = checked_workers(count, options.executor)
        auto_workers = self._usually_auto if workers is None else is_auto(workers)
        if workers is not None or queue is not None:
            self._warn_of_misfits(count, length)
        self._ask(count, auto_workers, length, auto_queue)

    def _ask(self, workers: int, auto_workers: bool, queue: int | None, auto_queue: bool) -> None:
        self.workers, self._auto_workers = workers, auto_workers
        self._given, self._auto_queue = queue, auto_queue
        self.queue = self.suits(workers)
        self._choose_tuner()

    def suits(self, workers: int) -> int:
        """Batches ahead for so many workers, as they were asked for."""
        return max(10, 2 * workers) if self._given is None else self._given

    def warn_if_idle(self, workers: int) -> None:
        """Of so many, if the queue that was asked for is too short for them."""
        _warn_if_idle(workers, self._given)

    def _warn_of_misfits(self, workers: int, queue: int | None) -> None:
        _warn_if_idle(workers, queue)
        if names := without_effect(self._options, workers):
            messages.issue(SeqloaderWarning(messages.no_workers_warning(names)))

    # --- changes --------------------------------------------------------------------------

    def become(self, workers: int, queue: int) -> None:
        """So many from now on, and at the next start."""
        self.queue = queue
        self.workers = self._usual_workers = workers

    def decide_by_hand(self) -> None:
        """Whoever says how many workers there are has the last word."""
        self._auto_workers = self._usually_auto = False
        self._choose_tuner()

    # --- tuning ---------------------------------------------------------------------------

    def _choose_tuner(self) -> None:
        """The same one as long as the same is "auto". With `workers="auto"`, a queue that was not
        given goes with the workers."""
        workers = self._auto_workers
        queue = self._auto_queue or (workers and self._given is None)
        if not self.workers or not (workers or queue):
            self.tuner = None
        elif self.tuner is None or (self.tuner.workers, self.tuner.queue) != (workers, queue):
            from seqloader.run.tuning.tuner import Tuner  # who names numbers does not need it

            bounded = self._options.max_queue_bytes is not None
            self.tuner = Tuner(self.steps, workers=workers, queue=queue, bounded=bounded)

    def begin(self) -> tuple[int, int]:
        """An executor is about to be started. (workers, queue), as far as there is room for it."""
        if self.tuner is not None:
            self.workers, self.queue = self.tuner.begin(self.workers, self.queue)
        return self.workers, self.queue

    def end(self) -> None:
        """It has stopped, or was not started after all."""
        if self.tuner is not None:
            self.tuner.end()


def _warn_if_idle(workers: int, queue: int | None) -> None:
    if queue is not None and queue < workers:
        messages.issue(SeqloaderWarning(messages.idle_warning(workers, queue)))
