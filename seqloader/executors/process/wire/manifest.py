"""Where the parts of one state lie in the state file.

A state is one pickle of the whole Sequence (the head), the buffers that it refers to by order, and
the externals (large flat containers, each a pickle of its own) and shared arrays' memory that it
refers to by number. The manifest names the span of each, and the files of the shared memory, which
are not part of the state file; it is written last, at an offset that tickets carry together with
its version. A span is written once and never again until nothing can refer to it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from typing import Final, NamedTuple

__all__ = ["ALIGNMENT", "Manifest", "SharedFile", "Span", "aligned", "read_manifest"]

ALIGNMENT: Final = mmap.ALLOCATIONGRANULARITY
"""Every span starts at a multiple of it, so that each can be mapped, and given back, by itself."""

_MAGIC: Final = int.from_bytes(b"seqstate", "little")
_HEAD: Final = struct.Struct("=QQ")
"""Magic; bytes of the pickle that follows."""


class Span(NamedTuple):
    """A range of the state file."""

    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.offset + self.nbytes


class SharedFile(NamedTuple):
    """The file of one shared array's memory, as the consumer has it open."""

    fd: int
    """The number that it has in the consumer, and in workers that inherit it."""
    device: int
    inode: int
    """With the device, the file's identity: what has the number later is another file."""
    nbytes: int


class Manifest(NamedTuple):
    """The parts of one version."""

    version: int
    head: Span
    buffers: tuple[Span, ...]
    externals: tuple[Span, ...]
    shared: tuple[SharedFile, ...] = ()
    names: Span = Span(0, 0)
    """The script's definitions by name; the same for all versions."""

    def encode(self) -> bytes:
        """As it is written to the state file."""
        pickled = pickle.dumps(self, protocol=5)
        return _HEAD.pack(_MAGIC, len(pickled)) + pickled


def aligned(offset: int) -> int:
    """The first offset from here on at which a span may start."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def read_manifest(fd: int, offset: int) -> Manifest:
    """The manifest that was written at `offset` of the state file."""
    magic, nbytes = _HEAD.unpack(os.pread(fd, _HEAD.size, offset))
    assert magic == _MAGIC, f"there is no manifest at offset {offset}"
    manifest: Manifest = pickle.loads(os.pread(fd, nbytes, offset + _HEAD.size))
    return manifest
