"""One pass of a trainer over an enqueuer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.enqueuer import OrderedEnqueuer
    from seqloader.order import Plan
    from seqloader.run.iterators import EpochIterator

__all__ = ["Pass"]

Batch = TypeVar("Batch")


class Pass(Generic[Batch]):
    """The batches of one epoch, which begins when the first is asked for.

    Trainers make iterators that they never read. `iter(enqueuer)` begins an epoch at once, with its
    hook, and makes earlier iterators stale; this does nothing until then.

    Args:
        enqueuer: Whose batches.
        begin: Begins the epoch; None: `iter(enqueuer)`.
    """

    __slots__ = ("_begin", "_enqueuer", "_epoch")

    def __init__(
        self,
        enqueuer: OrderedEnqueuer[Batch],
        begin: Callable[[], EpochIterator[Batch]] | None = None,
    ) -> None:
        self._enqueuer = enqueuer
        self._begin = begin or enqueuer.__iter__
        self._epoch: EpochIterator[Batch] | None = None

    def __iter__(self) -> Pass[Batch]:
        return self

    def __next__(self) -> Batch:
        epoch = self._begun()
        while True:
            handover = epoch.find()
            batch: Batch = handover.batch
            if batch is not None:
                # fmt: off
                handover.batch = None; return batch  # noqa: E702  (see [last act] in iterators.py)
                # fmt: on

    def has_next(self) -> bool:
        """Whether another batch comes; see `EpochIterator.has_next`."""
        return self._begun().has_next()

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, after the batch handed out last."""
        return self._enqueuer.state_dict()

    @property
    def padding(self) -> bool:
        """Whether the batch handed out last only fills up its shard, with `remainder="pad"`."""
        return self._begun().padding

    @property
    def plan(self) -> Plan:
        """Of its epoch, which begins if it has not."""
        return self._begun().plan

    @property
    def has_begun(self) -> bool:
        """Whether a batch was asked for."""
        return self._epoch is not None

    def _begun(self) -> EpochIterator[Batch]:
        if self._epoch is None:
            self._epoch = self._begin()
        return self._epoch
