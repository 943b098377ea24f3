"""Batches taken ahead of the user and prepared for him: a copy to a device takes its time.

Rules
    R1  Only what is there already is taken ahead: the user waits for nothing but the batch that he
        asked for. So every error comes in the place of its batch, and the epoch ends, with its
        hook, when he asks for more than it has.
    R2  The enqueuer is told which batches have reached the user. Its `state_dict()`, and where a
        loop that is left early was left, are those of an enqueuer without prefetch.
    R3  A batch goes from one holder to the next by plain stores, which no exception can cut in two
        (see [last act] in run/iterators.py): out of the enqueuer's handover into an entry, and out
        of that by the last act of the outermost `__next__`. What stands between this and the user
        hands entries on, and never batches. In between one may be prepared and finished twice.
    R4  What the enqueuer keeps of a pass are its entries, not the pass: a cycle would keep whoever
        drops both waiting for a garbage collection, and the workers with them.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.enqueuer import OrderedEnqueuer
    from seqloader.order import Plan
    from seqloader.run.iterators import EpochIterator

__all__ = ["Batches", "Entry", "Prefetched"]

Batch = TypeVar("Batch")
Item = TypeVar("Item")


class Batches(Protocol):
    """The batches of a pass: a `Prefetched`, or what stands around it."""

    def find(self) -> Entry[Any, Any]:
        """The entry of the next batch; StopIteration: there is none."""


class Prefetched(Generic[Batch, Item]):
    """One epoch, with some batches taken ahead. It begins when its first batch is asked for.

    Args:
        enqueuer: Whose epoch it is. (With `workers=0` no batch is there before it is asked for, so
            none is taken ahead.)
        ahead: How many batches are taken and prepared beside the one that the user gets, at most.
        prepare: Makes what the user gets; not None. Called with the batch, and whether it only
            fills up its shard (`remainder="pad"`). It should begin the work and not wait for its
            end. What it raises comes in the place of that batch, which is tried again if the user
            asks again.
        finish: Makes what the user gets from that, when he asks for it; None: it is that.
        begin: Begins the epoch; None: `iter(enqueuer)`.
    """

    __slots__ = (
        "_ahead", "_begin", "_enqueuer", "_entries", "_epoch", "_finish", "_prepare",
    )  # fmt: skip

    def __init__(
        self,
        enqueuer: OrderedEnqueuer[Batch],
        ahead: int,
        prepare: Callable[[Batch, bool], Item],
        finish: Callable[[Item], Any] | None = None,
        begin: Callable[[], EpochIterator[Batch]] | None = None,
    ) -> None:
        self._enqueuer = enqueuer
        self._ahead = ahead
        self._prepare = prepare
        self._finish = finish
        self._begin = begin or enqueuer.__iter__
        self._epoch: EpochIterator[Batch] | None = None
        self._entries: deque[Entry[Batch, Item]] = deque()
        """What was taken. The first may have been handed out; the last may be of a batch that
        never came, because an exception did."""

    def __iter__(self) -> Prefetched[Batch, Item]:
        return self

    def __next__(self) -> Any:
        entry = self.find()
        # fmt: off
        ready = entry.ready; entry.ready = entry.item = None; return ready  # noqa: E702  (R3)
        # fmt: on

    def find(self) -> Entry[Batch, Item]:
        """The entry of the next batch, ready for the user; StopIteration: there is none."""
        epoch, entries = self._begun(), self._entries
        while entries and not entries[0].is_pending:
            entries.popleft()
        while entries and not entries[-1].is_pending:
            entries.pop()
        if entries:
            may_take = epoch.next_is_here()  # asked in any case: it says where the epoch is over
        else:
            may_take = self._take(epoch)
            if not may_take:
                raise StopIteration
        first = entries[0]
        first.prepare(self._prepare)
        if may_take:
            self._take_ahead(epoch)
        assert first.item is not None
        first.ready = first.item if self._finish is None else self._finish(first.item)
        return first

    def has_next(self) -> bool:
        """Whether another batch comes; see `EpochIterator.has_next`."""
        epoch = self._begun()
        return any(entry.is_pending for entry in self._entries) or epoch.has_next()

    @property
    def plan(self) -> Plan:
        """Of its epoch, which begins if it has not."""
        return self._begun().plan

    def _begun(self) -> EpochIterator[Batch]:
        if self._epoch is None:
            epoch = self._begin()
            epoch.take_ahead_of(partial(_reached, self._entries))  # R4
            self._epoch = epoch
        return self._epoch

    def _take(self, epoch: EpochIterator[Batch]) -> bool:
        """Wait for the next batch and take it; False: there is none."""
        entry: Entry[Batch, Item] = Entry(epoch.position)
        self._entries.append(entry)
        while entry.batch is None:
            try:
                handover = epoch.find()
            except StopIteration:
                return False
            entry.padding = epoch.padding
            # fmt: off
            entry.batch = handover.batch; handover.batch = None  # noqa: E702  (R3)
            # fmt: on
        return True

    def _take_ahead(self, epoch: EpochIterator[Batch]) -> None:
        while len(self._entries) <= self._ahead and epoch.next_is_here() and self._take(epoch):
            try:
                self._entries[-1].prepare(self._prepare)
            except Exception:
                return  # it will be raised when the user asks for that batch


def _reached(entries: deque[Entry[Any, Any]]) -> int | None:
    """The position of the first batch that has not reached the user. Any thread."""
    for entry in list(entries):
        if entry.is_pending:
            return entry.position
    return None


class Entry(Generic[Batch, Item]):
    """A batch on its way to the user."""

    __slots__ = ("batch", "item", "padding", "position", "ready")

    def __init__(self, position: int) -> None:
        self.position = position
        """Where a run goes on that gets this batch next."""
        self.padding = False
        self.batch: Batch | None = None
        """What was taken, until it is prepared."""
        self.item: Item | None = None
        """What was made of it, until the user has it."""
        self.ready: Any = None
        """What the user gets, between being found and being taken."""

    @property
    def is_pending(self) -> bool:
        """Whether the batch was taken and has not reached the user."""
        return self.item is not None or self.batch is not None

    def prepare(self, call: Callable[[Batch, bool], Item]) -> None:
        if self.item is None:
            assert self.batch is not None
            self.item = call(self.batch, self.padding)
        self.batch = None
