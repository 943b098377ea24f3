"""A batch that lies in a block and was not opened yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.executors.process.wire.records import Report

if TYPE_CHECKING:
    from seqloader.executors.process.consumer.arena import Arenas, ArenaView
    from seqloader.executors.process.consumer.decode import Decoder
    from seqloader.tickets import Ticket

__all__ = ["ComputedBatch"]


class ComputedBatch:
    """Outcome `Computed` of the process executor: opening it leases the block."""

    __slots__ = ("_arena", "_arenas", "_decoder", "_fields", "busy_s", "nbytes", "slot", "ticket")

    def __init__(
        self,
        ticket: Ticket,
        slot: int,
        fields: tuple[int, ...],
        arena: ArenaView,
        decoder: Decoder,
        arenas: Arenas,
    ) -> None:
        self.ticket = ticket
        self.slot = slot
        self._fields = fields
        """Of a `Report`: they become one only where that is needed, since one is made per batch."""
        self._arena = arena
        self._decoder = decoder
        self._arenas = arenas
        self.nbytes = fields[3]
        """Bytes the batch occupies."""
        self.busy_s = fields[4] * 1e-9
        """Seconds the worker spent on it."""

    def open(self) -> Any:
        """The batch, its arrays viewing the block. Called at most once."""
        return self._decoder.decode(self._arena, self._fields)

    def discard(self) -> None:
        """Give the block back without opening it."""
        self._arenas.discard(
            self._arena, self._decoder.spans(self._arena, Report._make(self._fields))
        )
