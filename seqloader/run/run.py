"""A run: its parts, made for each other, and what the session asks of them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from seqloader.errors import ENDINGS, as_raisable
from seqloader.executors.computing import Computing
from seqloader.executors.protocol import turn_of
from seqloader.run.epochs import Epochs
from seqloader.run.observed import Observed
from seqloader.run.relocation import Relocation
from seqloader.run.session import Session
from seqloader.run.subject import Subject
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.randomness.seeding import Seeding
    from seqloader.run.options import Options
    from seqloader.stats import Stats
    from seqloader.stats.verdict import Verdict

__all__ = ["Run"]


class Run:
    """One Sequence, epoch after epoch, in one session.

    The session is its own, and refers to it weakly; no part refers to it at all. Whoever has an
    iterator keeps the run alive through the delivery of batches.
    """

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        self.subject = Subject(sequence, shuffle, options)
        self.session = Session(self, options)
        self.observed = Observed()
        self.epochs = Epochs(self.subject, self.session, self.observed)
        self.relocation = Relocation(self.subject, self.session, self.epochs)

    def check(self) -> None:
        """Assert what holds between any two calls."""
        self.session.check()
        self.subject.store.check()
        if not self.session.is_torn:
            self.epochs.check()

    # --- what the enqueuer asks for -------------------------------------------------------

    def stats(self) -> Stats:
        """A snapshot. Takes no lock: any thread, any time."""
        epochs = self.epochs
        return epochs.telling.stats(epochs.epoch)

    def verdict(self) -> Verdict:
        """What limits the loading. Takes no lock."""
        from seqloader.run.judging import verdict_of

        return verdict_of(self.stats(), self.session, self.epochs.epoch)

    def facts(self) -> Callable[[], Stats | None]:
        """`stats`, for whoever must not keep the run alive."""
        stats = weakref.WeakMethod(self.stats)

        def ask() -> Stats | None:
            asked = stats()
            return None if asked is None else asked()

        return ask

    def compute(self, index: int, epoch: int) -> Any:
        """One batch, computed here as a worker would."""
        seeding = self.seeding
        # Threads may be computing with the generators that are set for this batch.
        turn = turn_of(self.session.executor)
        try:
            with turn:
                self.subject.settle_order()
                computing = Computing(
                    self.sequence, seeding, seeded=seeding.reseed_globals, worker=False
                )
                return computing.compute(Ticket(epoch, 0, index))
        except ENDINGS as error:
            raise as_raisable(error) from error

    def join_end_of_epoch(self) -> None:
        """If the last batch of the epoch was handed out, end the epoch now, in this thread."""
        self.session.call(self.epochs.end_if_delivered)

    def end_epoch(self) -> None:
        """End the epoch in which the run stands now, in this thread, whatever is left of it."""
        self.session.call(self.epochs.end_where_we_stand)

    # --- what the session asks for: see guest.py ------------------------------------------

    @property
    def sequence(self) -> Any:
        """What the executor is started with."""
        return self.subject.sequence

    @property
    def seeding(self) -> Seeding:
        """What random numbers come from, as of now."""
        return self.subject.seeding

    def prepare(self) -> None:
        """An executor is about to be started."""
        self.subject.check_whole()
        counters = self.subject.counters
        counters.worked_earlier = counters.worked
        self.subject.settle_order()  # the first state is taken here, and a fork inherits it
        kind = type(self.sequence).__qualname__
        self.observed.session_begins(kind, self.subject.counters, self.facts())

    def started(self) -> None:
        """The executor has started."""
        self.observed.started(self.session.workers, self.session.max_queue_size)

    def complete(self) -> None:
        """A step was torn: do what is left of a jump, if it is made."""
        self.relocation.complete()

    def resume(self) -> None:
        """The executor was reset: issue again what was not handed over."""
        self.epochs.resume()

    def resized(self) -> None:
        """The executor has another number of workers, and the session another queue."""
        self.epochs.resized()
        self.observed.resized(self.session.workers, self.session.max_queue_size)

    def spoil(self) -> None:
        """A step was torn, and is not mended."""
        self.epochs.spoil()

    def forget(self) -> None:
        """The executor has stopped: nothing is under way any more."""
        self.relocation.complete()
        self.epochs.forget()
        self.observed.session_ends()

    def ending(self) -> Callable[[], object] | None:
        """The hook of the epoch under way, if the consumer's own `stop()` ends it."""
        return self.epochs.ending()
