"""A worker's arena: which blocks it reserves, recycles and gives back to the system.

A block is, in turn,

    lent       reported to the consumer, and not seen free since
    idle       the worker's, its pages still backed by memory: the cheapest to use again
    punched    the worker's, its pages given back to the system
    held       the memory of an array that user code got from `seqloader.empty`
    locked     idle as well, and a device of the consumer's has its pages: they are not given back
    a gap      no block any more: addresses that a block of another size may be cut from

Memory is used again before any is added, because fresh pages cost ten times as much to write as
warm ones; and before any is added, idle blocks of other sizes are given back.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.wire.blocks import (
    FIRST_BLOCK,
    HIGHEST,
    NOWHERE,
    PAGE_BYTES,
    RELEASED,
    RESERVED,
    UNLENT,
    geometry,
    larger_classes,
    pack_place,
    size_class,
)
from seqloader.memory.headroom import available_bytes, reserve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Arena", "Block", "Hold"]

_LOOKS: Final = 64
"""Lent blocks that one reservation looks at. A consumer may keep a million: looking at all of them
for every batch would cost more than the memory that is gained."""

_UNSEEN_BYTES: Final = 1 << 20
"""Memory added between two looks at what the system has left; a look costs some 50 us."""

_SPARED_BYTES: Final = 32 << 20
"""Left to the system, and to the worker's own next objects."""

_REMOVE: Final[int | None] = getattr(mmap, "MADV_REMOVE", None)


class Block:
    """A range of the arena."""

    __slots__ = ("copies", "number", "offset", "recycled", "size")

    def __init__(self, number: int, offset: int, size: int) -> None:
        self.number = number
        self.offset = offset
        self.size = size
        self.recycled = False
        """Was lent before, so that it pays to remember how it was filled."""
        self.copies: Any = None
        """The encoder's: a layout, and arrays over this block in that layout."""


class Hold:
    """What stands under an array from `seqloader.empty`, so that its end is seen.

    numpy collapses chains of bases, but never past an object that is no array: while any view
    is alive, so is this. Its types are also ctypes arrays, one type per size class.
    """

    block: Block | None = None
    """None: the block was delivered, or is not known yet."""
    returned: deque[Block]

    def __del__(self) -> None:
        # Any thread, inside the garbage collector, at exit: so this appends and does no more.
        block = self.block
        if block is not None:
            self.returned.append(block)


@functools.cache
def _hold_type(size: int) -> Any:
    return type("Hold", (Hold, ctypes.c_char * size), {})


class Arena:
    """The worker's end of its arena file.

    Args:
        fd: descriptor of the file, which stays in use.
        size: of the file, in bytes.
        available: says how many bytes of memory can still be had; None: unknown.
    """

    def __init__(
        self, fd: int, size: int, *, available: Callable[[], int | None] = available_bytes
    ) -> None:
        self.taken = 0
        """Serial of the last ticket that this worker took."""
        self.holds = 0
        """Blocks under arrays of user code: never fewer than there are."""
        self.map = mmap.mmap(fd, size)
        self.memory = memoryview(self.map)
        places = geometry(size)
        self._fd = fd
        self._pid = os.getpid()
        self._available = available
        self._words = self.memory[: 8 * places.blocks].cast("Q")
        self._places = self.memory[places.places_offset :][: 8 * places.blocks].cast("Q")
        self._locks = self.memory[places.locks_offset :][: 8 * places.blocks].cast("Q")
        self._lent: deque[Block] = deque()
        self._idle: dict[int, list[Block]] = {}
        self._punched: dict[int, list[Block]] = {}
        self._returned: deque[Block] = deque()
        self._numbers: list[int] = []
        self._next_number = FIRST_BLOCK
        self._top = places.data_offset
        self._end = size // PAGE_BYTES * PAGE_BYTES
        self._gaps: list[tuple[int, int]] = []
        self._unseen_bytes = _UNSEEN_BYTES
        self._owed_bytes = 0
        self._lock = threading.RLock()  # user threads may call seqloader.empty

    # --- what a batch needs -----------------------------------------------------------------

    def reserve(self, nbytes: int) -> Block:
        """Return a block for `nbytes`.

        Raises:
            MemoryError: there is not as much memory.
        """
        return self.take(size_class(nbytes))

    def take(self, size: int) -> Block:
        """As `reserve`, for a size that is a size class."""
        with self._lock:
            if self._returned:
                self._collect()
            idle = self._idle.get(size)
            return idle.pop() if idle else self._find(size)

    def lend(self, block: Block) -> None:
        """The block is the consumer's from now on; report it."""
        self._words[block.number] = 0
        self._lent.append(block)

    def release(self, block: Block) -> None:
        """A reserved block is not needed after all."""
        with self._lock:
            self._keep(self._idle, block)

    def write(self, block: Block, data: bytes) -> None:
        """Fill a block that is no batch, and lend it."""
        self.memory[block.offset : block.offset + len(data)] = data
        self.lend(block)

    def hold(self, nbytes: int) -> Hold | None:
        """Return memory for an array of user code; None: in a fork, this arena is not its own."""
        if os.getpid() != self._pid:
            return None
        size = size_class(nbytes)
        with self._lock:
            block = self.take(size)
            self.holds += 1
        hold: Hold = _hold_type(block.size).from_buffer(self.map, block.offset)
        hold.returned = self._returned
        hold.block = block
        return hold

    def lend_held(self, hold: Hold) -> None:
        """As `lend`, for the memory of an array that only the caller still refers to."""
        block = hold.block
        assert block is not None
        hold.block = None
        with self._lock:
            self.holds -= 1
        self.lend(block)

    # --- finding a block --------------------------------------------------------------------

    def _collect(self) -> None:
        while self._returned:
            self._keep(self._idle, self._returned.popleft())
            self.holds -= 1

    def _keep(self, kind: dict[int, list[Block]], block: Block) -> None:
        kind.setdefault(block.size, []).append(block)

    def _find(self, size: int) -> Block:
        if self._harvest(size):
            return self._idle[size].pop()
        for larger in larger_classes(size):
            if idle := self._idle.get(larger):
                return idle.pop()
        if punched := self._punched.get(size):
            self._back(punched[-1].offset, size)
            return punched.pop()
        return self._fresh(size)

    def _harvest(self, size: int) -> bool:
        """Look for blocks that the consumer has freed, until one of `size` is idle."""
        lent, words, taken = self._lent, self._words, self.taken
        for _ in range(min(_LOOKS, len(lent))):
            block = lent.popleft()
            word = words[block.number]
            if not word or word >> 1 > taken:
                lent.append(block)  # so that the next reservation looks at others first
                continue
            block.recycled = True
            if word & 1:
                self._keep(self._punched, block)
            else:
                self._keep(self._idle, block)
                if block.size == size:
                    return True
        return False

    # --- adding memory ----------------------------------------------------------------------

    def _fresh(self, size: int) -> Block:
        if not self._numbers and self._next_number >= len(self._words):
            self._compact()
        offset = self._cut(size)
        try:
            self._back(offset, size)
            number = self._next()
        except BaseException:
            self._gaps.append((offset, size))
            raise
        self._places[number] = pack_place(offset, size)
        self._words[number] = UNLENT
        return Block(number, offset, size)

    def _next(self) -> int:
        if self._numbers:
            return self._numbers.pop()
        number = self._next_number
        if number >= len(self._words):
            raise MemoryError(
                f"{number - FIRST_BLOCK} batches of one worker are held: there are no more numbers"
            )
        self._next_number += 1
        self._words[HIGHEST] = number
        return number

    def _cut(self, size: int) -> int:
        """Return the offset of addresses that belong to no block."""
        offset = self._cut_gap(size) if self._gaps else None
        if offset is None and self._top + size > self._end:
            self._compact()
            offset = self._cut_gap(size)
        if offset is not None:
            return offset
        if self._top + size > self._end:
            raise MemoryError(
                f"no room for {size} bytes in the worker's arena of {self._end} bytes, which the "
                "limits of this process (RLIMIT_AS, RLIMIT_FSIZE) or its memory allow: hold fewer "
                "batches, or make them smaller"
            )
        self._top += size
        return self._top - size

    def _cut_gap(self, size: int) -> int | None:
        fitting = [gap for gap in self._gaps if gap[1] >= size]
        if not fitting:
            return None
        offset, room = min(fitting, key=lambda gap: gap[1])
        self._gaps.remove((offset, room))
        if room > size:
            self._gaps.append((offset + size, room - size))
        return offset

    def _compact(self) -> None:
        """Make gaps of all blocks that are not in use, so that they may be cut anew."""
        for _ in range(len(self._lent) // _LOOKS + 1):
            self._harvest(-1)
        for blocks in list(self._idle.values()):
            self._punch_idle(blocks, self._end)
        ranges = self._gaps
        for blocks in self._punched.values():
            for block in blocks:
                ranges.append((block.offset, block.size))
                self._numbers.append(block.number)
                self._places[block.number] = NOWHERE  # where it lay, another will lie
            blocks.clear()
        ranges.sort()
        merged: list[tuple[int, int]] = []
        for offset, size in ranges:
            if merged and sum(merged[-1]) == offset:
                offset, size = merged[-1][0], merged.pop()[1] + size
            merged.append((offset, size))
        if merged and sum(merged[-1]) == self._top:
            self._top = merged.pop()[0]
        self._gaps = merged

    def _back(self, offset: int, size: int) -> None:
        """Have addresses backed by memory: an error now, not SIGBUS at the first write."""
        self._shrink_others(size)
        self._look(size)
        try:
            reserve(self._fd, offset, size)
        except OSError as error:
            raise MemoryError(
                f"no shared memory for a batch of {size} bytes: {error.strerror}"
            ) from error
        self._words[RESERVED] += size

    def _look(self, size: int) -> None:
        self._unseen_bytes += size
        if self._unseen_bytes < _UNSEEN_BYTES:
            return
        available = self._available()
        if available is not None and available < size + _SPARED_BYTES:
            raise MemoryError(
                f"no memory for a batch of {size} bytes: {available} bytes are available, and "
                f"{_SPARED_BYTES} of them are left to the system"
            )
        self._unseen_bytes = 0

    def _shrink_others(self, nbytes: int) -> None:
        """Give back idle blocks of other sizes for what is about to be added.

        Never more than was added: a large block is not lost for one small one, but for as many as
        it could hold. The longest unused goes first.
        """
        self._owed_bytes += nbytes
        for size, blocks in list(self._idle.items()):
            if nbytes <= 16 * size <= 16 * self._owed_bytes:
                self._owed_bytes -= self._punch_idle(blocks, self._owed_bytes)
        if not any(self._idle.values()):
            self._owed_bytes = 0

    def _punch_idle(self, blocks: list[Block], most_bytes: int) -> int:
        """Give back idle blocks of one size, from the first. Bytes that were given back."""
        kept: list[Block] = []
        nbytes = 0
        for block in blocks:
            if nbytes + block.size <= most_bytes and self._punch(block):
                self._keep(self._punched, block)
                nbytes += block.size
            else:
                kept.append(block)
        blocks[:] = kept
        return nbytes

    def _punch(self, block: Block) -> bool:
        if _REMOVE is None or self._locks[block.number]:
            return False
        try:
            self.map.madvise(_REMOVE, block.offset, block.size)
        except OSError:
            return False
        self._words[RELEASED] += block.size
        return True

    # --- invariants -------------------------------------------------------------------------

    def unused(self) -> list[tuple[int, int]]:
        """Offset and size of every range that is neither lent nor held nor being filled."""
        stacks = (*self._idle.values(), *self._punched.values())
        blocks = [(block.offset, block.size) for blocks in stacks for block in blocks]
        return sorted(blocks + self._gaps)

    def check(self) -> None:
        """Assert what must hold between calls."""
        stop = 0
        for offset, size in self.unused():
            assert stop <= offset and size > 0, f"{offset} belongs to two ranges"
            stop = offset + size
        assert stop <= self._top <= self._end, (stop, self._top, self._end)
        assert 0 <= self._words[RELEASED] <= self._words[RESERVED]
        assert all(block.number < self._next_number for block in self._lent)
