"""Memory for batches that are to be private: recycled, so that its pages need not be made anew.

A batch has one block, in which each of its arrays begins at a multiple of 64 bytes. The block is
free again when the last thing ends that refers to any of them: see [what a lease must be].
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.executors.process.wire.blocks import size_class

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Copies"]

ALIGNMENT: Final = 64
KEPT_BATCHES: Final = 3
"""Free blocks of the largest size that are kept: a consumer holds one or two batches at a time."""
KEPT_BYTES: Final = 16 << 20
"""That are kept in any case."""

_PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
"""What a forked child writes is its own."""


class Copies:
    """Blocks of one executor."""

    def __init__(self) -> None:
        self._ended = _Ended()
        self._free: dict[int, list[mmap.mmap]] = {}
        self._largest = 0
        self._lent = 0
        self._lent_bytes = 0

    @property
    def held_batches(self) -> int:
        """Batches that something refers to. Any thread."""
        return self._lent - len(self._ended.blocks)

    @property
    def held_bytes(self) -> int:
        """Bytes of those. Any thread."""
        return self._lent_bytes - sum(len(block) for block in self._ended.blocks.copy())

    def of(self, buffers: Iterable[Any]) -> list[memoryview]:
        """Copies of buffers, in one block, for one batch."""
        arrays = [np.frombuffer(buffer, np.uint8) for buffer in buffers]
        starts, nbytes = [], 0
        for array in arrays:
            starts.append(nbytes)
            nbytes += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        if not nbytes:
            return [memoryview(bytearray()) for _ in arrays]
        whole = memoryview(self._lend(size_class(nbytes))).cast("B")
        copies = [
            whole[start : start + array.nbytes] for start, array in zip(starts, arrays, strict=True)
        ]
        for copy, array in zip(copies, arrays, strict=True):
            np.copyto(np.frombuffer(copy, np.uint8), array)
        return copies

    def close(self) -> None:
        """Keep nothing any more. Batches live on."""
        self._ended.recycles = False
        self._ended.blocks.clear()
        self._free.clear()

    def _lend(self, size: int) -> Any:
        self._settle()
        self._largest = max(self._largest, size)
        free = self._free.get(size)
        block = free.pop() if free else mmap.mmap(-1, size, flags=_PRIVATE)
        lease = _lease_type(size).from_buffer(block)
        self._lent += 1
        self._lent_bytes += size
        lease.hold = self._ended, block
        return lease

    def _settle(self) -> None:
        """Take back what nobody refers to any more."""
        ended = self._ended.blocks
        most = max(KEPT_BYTES, KEPT_BATCHES * self._largest)
        while ended:
            block = ended.popleft()
            size = len(block)
            self._lent -= 1
            self._lent_bytes -= size
            if size + sum(each * len(free) for each, free in self._free.items()) <= most:
                self._free.setdefault(size, []).append(block)


class _Ended:
    """Blocks whose leases have ended. A finalizer appends, in any thread, and does no more."""

    def __init__(self) -> None:
        self.blocks: deque[mmap.mmap] = deque()
        self.recycles = True


class _LeasedCopy:
    """Under all arrays of a block lies one object that numpy does not collapse."""

    __slots__ = ()
    hold: tuple[_Ended, mmap.mmap] | None

    def __del__(self) -> None:
        if self.hold is not None:
            ended, block = self.hold
            if ended.recycles:
                ended.blocks.append(block)

    def __getattr__(self, name: str) -> Any:
        if name == "hold":  # an interrupt came before it had one
            return None
        raise AttributeError(name)


@functools.cache
def _lease_type(size: int) -> Any:
    return type("CopyLease", (_LeasedCopy, ctypes.c_char * size), {"__slots__": ("hold",)})
