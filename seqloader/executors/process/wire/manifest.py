"""Where the parts of one state lie in the state file.

A state is one pickle of the whole Sequence (the head), the buffers that it refers to by order, and
the externals (large flat containers, each a pickle of its own) that it refers to by number. The
manifest names the span of each; it is written last, at an offset that tickets carry together with
its version. A span is written once and never again until nothing can refer to it.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple

__all__ = ["ALIGNMENT", "Manifest", "Span", "aligned", "read_manifest"]

ALIGNMENT: Final = mmap.ALLOCATIONGRANULARITY
"""Every span starts at a multiple of it, so that each can be mapped, and given back, by itself."""

_MAGIC: Final = int.from_bytes(b"seqstate", "little")
_FIXED: Final = struct.Struct("=QQQQQQ")
"""magic, version, head offset, head nbytes, number of buffers, number of externals."""


class Span(NamedTuple):
    """A range of the state file."""

    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.offset + self.nbytes


class Manifest(NamedTuple):
    """The parts of one version."""

    version: int
    head: Span
    buffers: tuple[Span, ...]
    externals: tuple[Span, ...]

    def encode(self) -> bytes:
        """As it is written to the state file."""
        spans = (*self.buffers, *self.externals)
        return _FIXED.pack(
            _MAGIC, self.version, *self.head, len(self.buffers), len(self.externals)
        ) + struct.pack(f"={2 * len(spans)}Q", *(number for span in spans for number in span))


def aligned(offset: int) -> int:
    """The first offset from here on at which a span may start."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def read_manifest(fd: int, offset: int) -> Manifest:
    """The manifest that was written at `offset` of the state file."""
    magic, version, head_offset, head_nbytes, n_buffers, n_externals = _FIXED.unpack(
        os.pread(fd, _FIXED.size, offset)
    )
    assert magic == _MAGIC, f"there is no manifest at offset {offset}"
    count = n_buffers + n_externals
    numbers = struct.unpack(f"={2 * count}Q", os.pread(fd, 16 * count, offset + _FIXED.size))
    spans = tuple(map(Span, numbers[::2], numbers[1::2]))
    head = Span(head_offset, head_nbytes)
    return Manifest(version, head, spans[:n_buffers], spans[n_buffers:])
