"""The block under an array, for a device that is to have its pages locked; see page_locks.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seqloader.executors.process.consumer.arena import living_views

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.executors.process.consumer.arena import ArenaView

__all__ = ["LeasedBlock", "leased_at"]


class LeasedBlock(NamedTuple):
    """A block that something in this process refers to."""

    view: ArenaView
    number: int
    address: int
    nbytes: int

    def covers(self, address: int) -> bool:
        """Whether that address lies in it."""
        return self.address <= address < self.address + self.nbytes

    def is_locked(self) -> bool:
        """Whether its pages are locked, by whomever."""
        return self.number in self.view.locks

    def lock(self, unlock: Callable[[], object]) -> None:
        """Its pages are about to be locked; `unlock` is called before they are given back.

        To be said before it is done: an interrupt between the two leaves nothing locked for ever.
        """
        self.view.locks.add(self.number, unlock)

    def unlock(self) -> None:
        """Have it unlocked now."""
        self.view.locks.release(self.number)


def leased_at(address: int) -> LeasedBlock | None:
    """The block that has the memory at `address`, which the caller refers to.

    By the address, since arrays, tensors and memoryviews over a block have no more in common. In
    the consumer's thread only. None: it is no worker's memory.
    """
    for view in living_views():
        offset = address - view.address
        if 0 <= offset < view.mapping.size:
            for number, (start, size) in view.leased.items():
                if start <= offset < start + size:
                    return LeasedBlock(view, number, view.address + start, size)
    return None
