"""Blocks whose pages a device has: locked in memory, so that it can read them by itself.

A driver that has locked a range of memory (`cudaHostRegister`) goes on reading the pages that lay
there, whatever lies there by then. Pages that are given back meanwhile are not free, and what the
worker writes into new ones at these addresses is not what the device reads. So

Actors
    device feed   finds the block under an array (leased.py), has its pages locked by the driver,
                  and says how they are unlocked; see seqloader/adapters/device/
    arenas        have them unlocked, each before its pages are given back or its addresses unmapped
    worker        keeps the pages of its locked blocks

Rules
    L1  A block is locked by the consumer's thread, while it is leased. It stays so when it is freed
        and used again, since that is what locking is for: it costs more than a copy.
    L2  Whoever gives back pages has them unlocked first. In the consumer those are `settle`, the
        burial of a worker, the arenas' end, and leases that end after that. A worker gives back
        idle blocks when it adds others; it finds out by the lock words (wire/blocks.py, R5), which
        are set before and cleared after.
    L3  Blocks that no worker may give back could fill the memory. So once there is more than the
        arenas are to keep, all that nobody refers to are unlocked.
    L4  `unlock` is called once, in any thread, also inside the garbage collector. It neither raises
        nor asks the arenas anything, and refers to no block: the arena would keep itself alive.
        Nobody calls it in a forked child, which has locked nothing, nor while the interpreter ends:
        the driver may have ended before.

What is never locked pays for a word of addresses a block, and for one comparison where pages are
given back.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container

__all__ = ["PageLocks"]


class PageLocks:
    """The locked blocks of one arena, by their numbers.

    Args:
        words: of the arena, one for each block.
    """

    def __init__(self, words: Any) -> None:
        self._words = words
        self._unlocks: dict[int, Callable[[], object]] = {}
        self._pid = os.getpid()
        self._getpid = os.getpid  # at exit, modules are emptied before the last objects go
        self._is_finalizing = sys.is_finalizing

    def __contains__(self, block: int) -> bool:
        return block in self._unlocks

    def __len__(self) -> int:
        return len(self._unlocks)

    def add(self, block: int, unlock: Callable[[], object]) -> None:
        """The pages of a block are about to be locked: `unlock` will be called once."""
        assert block not in self._unlocks, f"block {block} is locked twice"
        self._unlocks[block] = unlock
        self._words[block] = 1

    def release(self, block: int) -> None:
        """Have a block unlocked, if it is locked."""
        if block not in self._unlocks or self._is_finalizing() or self._getpid() != self._pid:
            return
        self._unlocks.pop(block)()
        self._words[block] = 0

    def release_all(self, but: Container[int] = ()) -> None:
        """Have all blocks unlocked but some."""
        for block in list(self._unlocks):
            if block not in but:
                self.release(block)

    def check(self) -> None:
        """Assert what must hold between calls."""
        assert all(self._words[block] == 1 for block in self._unlocks), "a lock that shows nowhere"
