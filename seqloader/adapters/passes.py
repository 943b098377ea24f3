"""One pass of a trainer over an enqueuer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from seqloader.enqueuer import OrderedEnqueuer
    from seqloader.run.iterators import EpochIterator

__all__ = ["Pass"]

Batch = TypeVar("Batch")


class Pass(Generic[Batch]):
    """The batches of one epoch, which begins when the first is asked for.

    Trainers make iterators that they never read. `iter(enqueuer)` begins an epoch at once, with its
    hook, and makes earlier iterators stale; this does nothing until then.
    """

    __slots__ = ("_enqueuer", "_epoch")

    def __init__(self, enqueuer: OrderedEnqueuer[Batch]) -> None:
        self._enqueuer = enqueuer
        self._epoch: EpochIterator[Batch] | None = None

    def __iter__(self) -> Pass[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._epoch is None:
            self._epoch = iter(self._enqueuer)
        while True:
            handover = self._epoch.find()
            batch: Batch = handover.batch
            if batch is not None:
                # fmt: off
                handover.batch = None; return batch  # noqa: E702  (see [last act] in iterators.py)
                # fmt: on
