"""What `iter(enqueuer)` and `enqueuer.get()` return.

They are objects, never generators: an exception raised asynchronously *ends* a generator, so that
the next `next()` would be a short epoch without a word.

Note [last act]
    A batch counts as delivered when `__next__` takes it out of the handover, by a plain store into
    a slot. Python runs signal handlers and pending asynchronous exceptions, and other threads, at
    calls, loops and function entries: not between reading the slot, that store and the return. An
    exception that comes earlier finds the batch still in the handover, and the next `next()` gets
    it, in whichever thread that is. So two threads may have found the same handover; whoever reads
    the slot second finds None in it, and asks for the batch after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.order import Plan
    from seqloader.run.delivery import Delivery
    from seqloader.run.epoch import Epoch
    from seqloader.run.handovers import Handover

__all__ = ["EpochIterator", "StreamIterator"]

Batch = TypeVar("Batch")


class EpochIterator(Generic[Batch]):
    """The batches of one epoch."""

    __slots__ = ("_delivery", "epoch", "finished", "last_position", "start")

    def __init__(self, delivery: Delivery, epoch: Epoch, start: int) -> None:
        self._delivery = delivery
        self.epoch = epoch
        self.start = start
        self.finished = False
        self.last_position = -1
        """Of the batch that it gave last, in the epoch on this shard; -1: it gave none."""

    def __iter__(self) -> EpochIterator[Batch]:
        return self

    @property
    def plan(self) -> Plan:
        """Which index is due at which position."""
        return self.epoch.plan

    @property
    def padding(self) -> bool:
        """Whether the batch that it gave last only fills up its shard, with `remainder="pad"`."""
        real = self.epoch.plan.padding_from
        return real is not None and self.last_position >= real

    def has_next(self) -> bool:
        """Whether the epoch has another batch. Waits for it, and delivers nothing; the epoch's
        hook does not run, also where this was the end."""
        return self._delivery.has_next(self)

    def next_is_here(self) -> bool:
        """Whether `next()` would return a batch without waiting for it; delivers nothing. False
        also at the epoch's end, and before a batch that raised: its error is for whoever asks.

        Raises:
            RuntimeError, EnqueuerStopped: as `next()` where the iterator is stale or was stopped.
        """
        return self._delivery.next_is_here(self)

    @property
    def position(self) -> int:
        """The position after the last batch that this iterator gave."""
        return self.epoch.handovers.taken

    def take_ahead_of(self, user: Callable[[], int | None]) -> None:
        """Say that batches are taken from this iterator before the user has them.

        Args:
            user: Called in any thread: the first position that has not reached him, or None if all
                that were taken have. Saved states name that one, and an epoch that is left early
                was left there.
        """
        self.epoch.handovers.ahead_of = user

    @property
    def remaining(self) -> int | None:
        """How many batches are still to come, as planned: those that turn out to be None, or are
        skipped because they raise, count. 0 once the epoch has ended; None: endless."""
        return self.epoch.remaining

    def find(self) -> Handover:
        """The handover of the next batch, which is nobody's yet.

        For whoever stands between this and the user, and takes it out by the last act of a
        `__next__` of its own (see [last act]).
        """
        handover = self._delivery.next_of_epoch(self)
        self.last_position = handover.position
        return handover

    def __next__(self) -> Batch:
        while True:
            handover = self._delivery.next_of_epoch(self)
            batch: Batch = handover.batch
            self.last_position = handover.position
            if batch is not None:
                # fmt: off
                handover.batch = None; return batch  # noqa: E702  (see [last act])
                # fmt: on


class StreamIterator(Generic[Batch]):
    """The batches of all epochs, without marks between them."""

    __slots__ = ("_delivery", "start", "stream")

    def __init__(self, delivery: Delivery, stream: object, start: int) -> None:
        self._delivery = delivery
        self.stream = stream
        self.start = start

    def __iter__(self) -> StreamIterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while True:
            handover = self._delivery.next_of_stream(self)
            batch: Batch = handover.batch
            if batch is not None:
                # fmt: off
                handover.batch = None; return batch  # noqa: E702  (see [last act])
                # fmt: on
