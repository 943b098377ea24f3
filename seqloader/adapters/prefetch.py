"""Batches taken ahead of the user and prepared for him: a copy to a device takes its time.

Rules
    R1  Only what is there already is taken ahead: the user waits for nothing but the batch that he
        asked for. So every error comes in the place of its batch, and the epoch ends, with its
        hook, when he asks for more than it has.
    R2  The enqueuer is told which batches have reached the user. Its `state_dict()`, and where a
        loop that is left early was left, are those of an enqueuer without prefetch.
    R3  A batch goes from one holder to the next by one act that no exception can cut in two: from
        the enqueuer into an entry inside one call of C, to the user by the last stores before the
        return (see [last act] in run/iterators.py). In between it may be prepared and finished
        twice. What stands between this and the user hands entries on, and never batches: only the
        outermost `__next__` takes one out.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
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
        prepare: Makes what the user gets from a batch; not None. It should begin the work and not
            wait for its end. What it raises comes in the place of that batch, which is tried again
            if the user asks again.
        finish: Makes what the user gets from that, when he asks for it; None: it is that.
        begin: Begins the epoch; None: `iter(enqueuer)`.
    """

    __slots__ = (
        "_ahead", "_begin", "_enqueuer", "_entries", "_epoch", "_finish", "_prepare", "padding",
    )  # fmt: skip

    def __init__(
        self,
        enqueuer: OrderedEnqueuer[Batch],
        ahead: int,
        prepare: Callable[[Batch], Item],
        finish: Callable[[Item], Any] | None = None,
        begin: Callable[[], EpochIterator[Batch]] | None = None,
    ) -> None:
        self.padding = False
        """Whether the batch handed out last only fills up its shard, with `remainder="pad"`; while
        one is prepared or finished, whether that one does."""
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
        if entries and entries[-1].padding is None:  # an exception came before it was noted
            entries[-1].padding = epoch.padding
        if entries:
            may_take = epoch.next_is_here()  # asked in any case: it says where the epoch is over
        else:
            may_take = self._take(epoch)
            if not may_take:
                raise StopIteration
        first = entries[0]
        self._prepare_entry(first)
        if may_take:
            self._take_ahead(epoch)
        self.padding = bool(first.padding)
        assert first.item is not None
        first.ready = first.item if self._finish is None else self._finish(first.item)
        return first

    def has_next(self) -> bool:
        """Whether another batch comes; see `EpochIterator.has_next`."""
        epoch = self._begun()
        return any(entry.is_pending for entry in self._entries) or epoch.has_next()

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, after the batch handed out last."""
        return self._enqueuer.state_dict()

    @property
    def plan(self) -> Plan:
        """Of its epoch, which begins if it has not."""
        return self._begun().plan

    def _begun(self) -> EpochIterator[Batch]:
        if self._epoch is None:
            epoch = self._begin()
            epoch.take_ahead_of(self._reached)
            self._epoch = epoch
        return self._epoch

    def _reached(self) -> int | None:
        """The position of the first batch that has not reached the user. Any thread."""
        for entry in list(self._entries):
            if entry.is_pending:
                return entry.position
        return None

    def _take(self, epoch: EpochIterator[Batch]) -> bool:
        """Wait for the next batch and take it; False: there is none."""
        entry: Entry[Batch, Item] = Entry(epoch.position)
        self._entries.append(entry)
        entry.taken.extend(islice(epoch, 1))  # R3
        entry.padding = epoch.padding
        return entry.is_pending

    def _take_ahead(self, epoch: EpochIterator[Batch]) -> None:
        while len(self._entries) <= self._ahead and epoch.next_is_here() and self._take(epoch):
            try:
                self._prepare_entry(self._entries[-1])
            except Exception:
                return  # it will be raised when the user asks for that batch

    def _prepare_entry(self, entry: Entry[Batch, Item]) -> None:
        self.padding = bool(entry.padding)
        entry.prepare(self._prepare)


class Entry(Generic[Batch, Item]):
    """A batch on its way to the user."""

    __slots__ = ("item", "padding", "position", "ready", "taken")

    def __init__(self, position: int) -> None:
        self.position = position
        """Where a run goes on that gets this batch next."""
        self.padding: bool | None = None
        """Whether it only fills up its shard; None: not noted yet."""
        self.taken: list[Batch] = []
        """The batch, until it is prepared."""
        self.item: Item | None = None
        """What was made of it, until the user has it."""
        self.ready: Any = None
        """What the user gets, between being found and being taken."""

    @property
    def is_pending(self) -> bool:
        """Whether the batch was taken and has not reached the user."""
        return self.item is not None or bool(self.taken)

    def prepare(self, call: Callable[[Batch], Item]) -> None:
        if self.item is None:
            self.item = call(self.taken[0])
        self.taken.clear()
