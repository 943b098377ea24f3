"""A batch that an actor computed: bytes of Ray's object store, opened when it is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.executors.process.wire import pickling
from seqloader.tickets import RebuildError

if TYPE_CHECKING:
    from seqloader.executors.ray.copies import Copies
    from seqloader.tickets import Ticket

__all__ = ["RayBatch"]


class RayBatch:
    """The outcome `Computed`. It keeps the object of its call in the store."""

    __slots__ = ("_buffers", "_copies", "_head", "busy_s", "nbytes", "slot", "ticket")

    def __init__(
        self, ticket: Ticket, slot: int, answer: tuple[Any, ...], copies: Copies | None = None
    ) -> None:
        self.ticket = ticket
        self.slot = slot
        _, self.busy_s, self.nbytes, self._head, self._buffers = answer
        self._copies = copies

    def open(self) -> Any:
        """The batch: its arrays are read-only views of the store, or private copies."""
        head, buffers = self._head, self._buffers
        self.discard()
        if self._copies is not None:
            buffers = self._copies.of(buffers)
        try:
            return pickling.loads(head, buffers)
        except Exception as error:
            raise RebuildError from error

    def discard(self) -> None:
        """Let go of it."""
        self._head = self._buffers = None
