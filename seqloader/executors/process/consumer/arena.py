"""The consumer's side of the arenas: who holds which block, and when it is free again.

# Note [What a lease must be]
A block is free when the last thing dies that refers to it, however it was derived: a slice, a
memoryview, a tensor, a ufunc's view. A finalizer on an array or a memoryview fires too early,
because numpy collapses chains of bases past them. It does not past an object that is no array: so
under all arrays of a block lies one ctypes array. Its finalizer runs in any thread, inside the
garbage collector, at exit: it appends to a deque and does nothing more. `Arenas.settle` does the
rest, in the consumer.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.executors.process.consumer.page_locks import PageLocks
from seqloader.executors.process.wire.blocks import (
    FIRST_BLOCK,
    HIGHEST,
    RELEASED,
    RESERVED,
    geometry,
    unpack_place,
)
from seqloader.memory.mapping import Mapping

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ArenaView", "Arenas", "living_views"]

KEEP_BYTES: Final = 16 << 20
"""Backed memory that is kept whatever the batches' size: giving back and getting again a page costs
more than moving a small batch, and workers keep a little in reserve."""

_UNCHECKED_BYTES: Final = 1 << 20
"""Freed between two looks at how much memory is backed: small batches need no look each."""


class ArenaView:
    """One worker's arena as the consumer sees it; mapped while it, or any lease of it, lives.

    Args:
        number: of the worker process.
        fd: of the arena file; not needed after this.
        size: of the arena file, in bytes.
        freed: where leases go when they end.
    """

    def __init__(self, number: int, fd: int, size: int, freed: deque[Any]) -> None:
        self.number = number
        self.freed: Any = freed
        self.mapping = Mapping(fd, size)
        self.address = self.mapping.address
        where = geometry(size)
        words = ctypes.c_uint64 * where.blocks
        self.words = words.from_address(self.address)
        self.locks = PageLocks(words.from_address(self.address + where.locks_offset))
        self.layouts: dict[int, Any] = {}
        """The decoder's: what the worker has defined."""
        self.leased: dict[int, tuple[int, int]] = {}
        """Offset and size of every block that something in this process refers to."""
        self.held_bytes = 0
        self.held_batches = 0
        self.punched_bytes = 0
        self.orphaned = False
        """Whether its worker is dead: what is freed goes back to the system."""
        _views.add(self)

    def lease(self, offset: int, size: int, block: int, batch: list[int] | None = None) -> Any:
        """Return memory that is the caller's until the last thing dies that refers to it.

        Args:
            offset, size, block: as reported.
            batch: for a batch of several blocks, their number and bytes: one list for all.
        """
        lease = _lease_type(size).from_address(self.address + offset)
        self.leased[block] = (offset, size)
        self.held_bytes += size
        lease.hold = (self, block, offset, size, batch)
        if batch is None:
            self.held_batches += 1
        return lease

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return a copy of some bytes."""
        return ctypes.string_at(self.address + offset, nbytes)

    def backed_bytes(self) -> int:
        """Bytes of the arena that take memory."""
        words = self.words
        return words[RESERVED] - words[RELEASED] - self.punched_bytes

    def punch(self, offset: int, size: int) -> bool:
        """Give pages back to the system, if that can be done."""
        if not size or not self.mapping.punch(offset, size):
            return False
        self.punched_bytes += size
        return True

    def punch_block(self, block: int, offset: int, size: int) -> bool:
        """Give the pages of one block back, if that can be done; a device reads them no more."""
        self.locks.release(block)
        return self.punch(offset, size)

    def punch_unused(self, *, unopened_too: bool) -> None:
        """The worker is dead: give back what is free or was never reported.

        Args:
            unopened_too: no report of it will be opened any more: give back all but what is leased.
        """
        self.locks.release_all(but=self.leased)
        where = geometry(self.mapping.size)
        count = min(max(self.words[HIGHEST] + 1, FIRST_BLOCK), where.blocks) - FIRST_BLOCK
        words = np.frombuffer(self.read(8 * FIRST_BLOCK, 8 * count), np.uint64)
        places = self.read(where.places_offset + 8 * FIRST_BLOCK, 8 * count)
        if unopened_too:
            unused = ~np.isin(np.arange(FIRST_BLOCK, FIRST_BLOCK + count), [*self.leased])
        else:
            unused = words != 0
        start = stop = 0
        chosen = np.frombuffer(places, np.uint64)[unused]
        for offset, size in sorted(map(unpack_place, chosen.tolist())):
            if offset != stop:  # else one call does for both
                self.punch(start, stop - start)
                start = offset
            stop = offset + size
        self.punch(start, stop - start)

    def __del__(self) -> None:
        # Nobody refers to it, nor to a block of it. But a step that was torn may have lost count.
        if locks := getattr(self, "locks", None):
            locks.release_all()


_views: Final[weakref.WeakSet[ArenaView]] = weakref.WeakSet()


def living_views() -> list[ArenaView]:
    """All there are in this process. Any thread may ask, while another adds one."""
    return _listed(_views)


def _listed(views: weakref.WeakSet[ArenaView]) -> list[ArenaView]:
    while True:
        try:
            return list(views)
        except RuntimeError:  # it has changed in the middle
            continue


class Arenas:
    """All arenas of one pool.

    Args:
        keep_batches: batches whose memory is kept for use again, beside those the consumer holds.
        keep_bytes: memory that is kept in any case.
    """

    def __init__(self, keep_batches: int, keep_bytes: int = KEEP_BYTES) -> None:
        self._all: weakref.WeakSet[ArenaView] = weakref.WeakSet()
        self.freed: deque[Any] = deque()
        """What `settle` will free: (view, block, offset, size, batch)."""
        self.views: dict[int, ArenaView] = {}
        """By the numbers of the living workers."""
        self._keep_batches = keep_batches
        self._keep_bytes = keep_bytes
        self._largest_bytes = 0
        self._unchecked_bytes = 0

    def add(self, view: ArenaView) -> None:
        """Take in the arena of a new worker."""
        self._all.add(view)
        self.views[view.number] = view

    @property
    def held_bytes(self) -> int:
        """Bytes of blocks that something in this process refers to."""
        ended: int = sum(
            size for _, _, _, size, batch in self.freed.copy() if batch != _NEVER_LEASED
        )
        return sum(view.held_bytes for view in self._every()) - ended

    @property
    def held_batches(self) -> int:
        """Batches that something in this process refers to."""
        ended = 0
        left: dict[int, int] = {}
        for *_, batch in self.freed.copy():
            if batch is None:
                ended += 1
            elif batch:  # one of several blocks: it has ended with the last of them
                blocks = left[id(batch)] = left.get(id(batch), batch[0]) - 1
                ended += not blocks
        return sum(view.held_batches for view in self._every()) - ended

    def _every(self) -> list[ArenaView]:
        """Also those of dead workers. Any thread may ask, while another adds the next worker's."""
        return _listed(self._all)

    def cap_bytes(self) -> int:
        """Bytes that the living workers' arenas may keep; what is freed above is given back."""
        held = sum(view.held_bytes for view in self.views.values())
        return self._keep_batches * self._largest_bytes + held

    def keep(self, batches: int) -> None:
        """Memory of so many batches is kept from now on, beside those the consumer holds."""
        self._keep_batches = batches

    def forget_sizes(self) -> None:
        """Another epoch: its batches may be smaller than the largest so far."""
        self._largest_bytes = 0

    # --- freeing ----------------------------------------------------------------------------

    def settle(self, next_serial: int) -> None:
        """Free the blocks whose leases have ended. Call before tickets are written.

        Args:
            next_serial: of the next ticket: whoever takes it may use the blocks again.
        """
        freed, free = self.freed, next_serial << 1
        while freed:
            view, block, offset, size, batch = freed.popleft()
            if batch is None:
                view.held_batches -= 1
                batch_bytes = size
            elif batch:
                batch[0] -= 1
                batch_bytes = batch[1]
                if not batch[0]:
                    view.held_batches -= 1
            else:
                batch_bytes = 0
            if batch_bytes:
                del view.leased[block]
                view.held_bytes -= size
                if batch_bytes > self._largest_bytes:
                    self._largest_bytes = batch_bytes
            if view.orphaned:
                view.punch_block(block, offset, size)
                continue
            self._unchecked_bytes += size
            punched = False
            if self._unchecked_bytes >= _UNCHECKED_BYTES and size and self._exceeds_cap():
                self._unlock_idle()
                punched = view.punch_block(block, offset, size)
            view.words[block] = free | punched

    def _exceeds_cap(self) -> bool:
        backed_bytes = sum(view.backed_bytes() for view in self.views.values())
        if backed_bytes > max(self.cap_bytes(), self._keep_bytes):
            return True
        self._unchecked_bytes = 0
        return False

    def _unlock_idle(self) -> None:
        for view in self.views.values():
            view.locks.release_all(but=view.leased)

    def release(self, view: ArenaView, block: int, offset: int = 0, size: int = 0) -> None:
        """Give back a block that was never leased. Without a size its pages are kept."""
        self.freed.append((view, block, offset, size, _NEVER_LEASED))

    # --- ends -------------------------------------------------------------------------------

    def forget(self, number: int) -> None:
        """The worker is dead, and all its reports are in: its arena gets no new batches."""
        view = self.views.pop(number)
        view.orphaned = True
        view.punch_unused(unopened_too=False)

    def close(self) -> None:
        """All workers are dead, and no report will be opened any more. Leases live on."""
        sink = _Sink()
        for view in list(self._all):
            view.freed = sink
            view.orphaned = True
        self.settle(0)
        for view in list(self._all):
            view.locks.release_all(but=view.leased)
            if view.leased:
                view.punch_unused(unopened_too=True)
        self.views.clear()

    def check(self) -> None:
        """Assert what must hold between calls."""
        for number, view in self.views.items():
            assert view.number == number and not view.orphaned, (number, view.number, view.orphaned)
        for view in list(self._all):
            view.locks.check()
            held = sum(size for _, size in view.leased.copy().values())
            assert view.held_bytes == held, (view.held_bytes, held)
            assert 0 <= view.held_batches <= len(view.leased), (view.held_batches, view.leased)

    def __del__(self, _finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # Unopened batches refer to this (by their decoder), so none is left.
        if not _finalizing() and getattr(self, "_all", None):
            self.close()


_NEVER_LEASED: Final[tuple[()]] = ()


class _Sink:
    """Stands in for the deque of freed blocks when nobody will settle them."""

    def append(self, hold: tuple[ArenaView, int, int, int, Any]) -> None:
        view, block, offset, size, _ = hold
        view.punch_block(block, offset, size)


class _Nowhere:
    """The arena of a lease that was interrupted before it had one."""

    freed: Final[deque[Any]] = deque(maxlen=0)


class _Lease:
    """See Note [What a lease must be]."""

    __slots__ = ()
    hold: tuple[Any, ...]

    def __del__(self) -> None:
        hold = self.hold
        hold[0].freed.append(hold)

    def __getattr__(self, name: str) -> Any:
        if name == "hold":
            return (_Nowhere,)
        raise AttributeError(name)


@functools.cache
def _lease_type(size: int) -> Any:
    return type("Lease", (_Lease, ctypes.c_char * size), {"__slots__": ("hold",)})
