"""The arena file: what lies where, and what the words of its blocks mean.

    8 x number     one aligned 8-byte word per block; the first eight are counters of the worker
    places_offset  one aligned 8-byte place per block: where it lies (`pack_place`), or NOWHERE
    locks_offset   one aligned 8-byte word per block: 1 while its pages are locked, else 0
    data_offset    the blocks, each a whole number of pages

Actors
    worker     reserves blocks, notes their places, sets a block's word to 0 when it reports it
    consumer   sets the word when the last thing that refers to the block has died

Rules
    R1  Word 0: lent, the consumer's. Else UNLENT: reserved and never reported; or
        `(serial << 1) | punched`, where `serial` is that of the next ticket to be written when the
        consumer freed the block, and `punched` says that its pages were given back to the system.
        So in a dead worker's arena, whatever has another word than 0 is nobody's.
    R2  A worker reuses a block only if the word's serial is not above that of a ticket it has
        taken. The consumer stores the word before it writes that ticket, so the ticket pipe orders
        the consumer's last reads before the worker's first write; Python has no other fence.
    R3  Words are loaded and stored whole (`memoryview.cast("Q")`, ctypes), never byte by byte.
    R4  Serials start at 1, so the word of a free block is neither 0 nor UNLENT.
    R5  Lock words are the consumer's (consumer/page_locks.py). It sets one only while it has the
        block, so a worker that sees a block free sees whether it is locked (R2); it clears one at
        any time. A worker keeps the pages of a locked block: a device would go on reading them.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Final, NamedTuple

__all__ = [
    "FIRST_BLOCK",
    "HIGHEST",
    "NOWHERE",
    "PAGE_BYTES",
    "RELEASED",
    "RESERVED",
    "UNLENT",
    "Geometry",
    "geometry",
    "larger_classes",
    "make_sparse",
    "pack_place",
    "size_class",
    "unpack_place",
]

PAGE_BYTES: Final = mmap.PAGESIZE

RESERVED: Final = 0
"""Word: bytes that the worker has had backed by memory, ever."""
RELEASED: Final = 1
"""Word: bytes whose pages the worker itself has given back, ever."""
HIGHEST: Final = 2
"""Word: the highest block number in use yet."""
FIRST_BLOCK: Final = 8
"""Lowest number of a block; the words below are counters, and spare."""

UNLENT: Final = 1
"""Word of a block that was never reported."""
NOWHERE: Final = 0
"""Place of a number that no block has at present. (At the file's start there are words.)"""

_MOST_BLOCKS: Final = 1 << 26
"""Room for the words is sparse: it costs addresses, not memory. So many batches of one page each
would be 256 GB."""

_MOST_BYTES: Final = 1 << 40
_FEWEST_BYTES: Final = 1 << 20
_RAM_MULTIPLE: Final = 8
"""Addresses are not shared between size classes until they run out, so an arena is larger than
memory; but not by much, because some systems count addresses."""


class Geometry(NamedTuple):
    """Where things lie in an arena of a given size."""

    blocks: int
    """Block numbers there are, counters included."""
    places_offset: int
    locks_offset: int
    data_offset: int


def geometry(size: int) -> Geometry:
    """Return the places in an arena of `size` bytes: no number is wanting before addresses are."""
    blocks = min(_MOST_BLOCKS, FIRST_BLOCK + size // PAGE_BYTES)
    table_bytes = -(-blocks * 8 // PAGE_BYTES) * PAGE_BYTES
    return Geometry(blocks, table_bytes, 2 * table_bytes, 3 * table_bytes)


def pack_place(offset: int, size: int) -> int:
    """Return where a block lies as one word."""
    return (offset // PAGE_BYTES) << 32 | size // PAGE_BYTES


def unpack_place(place: int) -> tuple[int, int]:
    """Return offset and size."""
    return (place >> 32) * PAGE_BYTES, (place & 0xFFFF_FFFF) * PAGE_BYTES


def size_class(nbytes: int) -> int:
    """Return the size of the block for `nbytes`: whole pages, in steps of 1/8 octave."""
    pages = -(-nbytes // PAGE_BYTES) or 1
    if pages <= 16:
        return pages * PAGE_BYTES
    shift = (pages - 1).bit_length() - 4
    return (-(-pages >> shift) << shift) * PAGE_BYTES


def larger_classes(size: int) -> list[int]:
    """Return the classes above `size`, up to twice as large."""
    classes = []
    larger = size
    while (larger := size_class(larger + 1)) <= 2 * size:
        classes.append(larger)
    return classes


def make_sparse(fd: int, sharers: int = 1) -> int:
    """Give the file at `fd` the size of an arena, and return it.

    Args:
        fd: an empty file.
        sharers: arenas that this process will map, for where its addresses are limited.

    Raises:
        OSError: not even a small arena can be had.
    """
    size = _most_bytes(sharers)
    while True:
        try:
            os.ftruncate(fd, size)
            mmap.mmap(fd, size).close()
        except (OSError, ValueError, OverflowError, MemoryError):
            if size <= _FEWEST_BYTES:
                raise
            size = max(_FEWEST_BYTES, size // 2 // PAGE_BYTES * PAGE_BYTES)
        else:
            return size


def _most_bytes(sharers: int) -> int:
    size = _MOST_BYTES
    with contextlib.suppress(OSError, ValueError):
        size = min(size, _RAM_MULTIPLE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    # Without the module (on Windows; or no descriptor is left to load it by) a size is tried out.
    with contextlib.suppress(ImportError):
        import resource

        file_limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if file_limit != resource.RLIM_INFINITY:
            size = min(size, file_limit)
        address_limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if address_limit != resource.RLIM_INFINITY:  # the user's own code needs the most of it
            size = min(size, address_limit // 4 // max(1, sharers))
    return max(_FEWEST_BYTES, size // PAGE_BYTES * PAGE_BYTES)
