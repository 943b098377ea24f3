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
        return next(self._begun())

    def has_next(self) -> bool:
        """Whether another batch comes; see `EpochIterator.has_next`."""
        return self._begun().has_next()

    @property
    def has_begun(self) -> bool:
        """Whether a batch was asked for."""
        return self._epoch is not None

    def _begun(self) -> EpochIterator[Batch]:
        if self._epoch is None:
            self._epoch = iter(self._enqueuer)
        return self._epoch
