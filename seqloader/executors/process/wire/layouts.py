"""How a batch lies in its block. The worker writes it, the consumer rebuilds it.

The number in a report's `layout` field says which of four kinds it is:

    n, from 1    known: the body alone. The consumer was told of layout n before.
    DEFINES | n  head, definition, body: this is layout n from now on
    DESCRIBED    head, definition, body: of this batch alone
    PICKLED      head, parts, places of the buffers, pickle, buffers

    body         parts, then the arrays, each at a multiple of `ALIGNMENT`

A batch lies in one block, its primary, which the report names, and in the blocks of the arrays that
were built in the arena (`seqloader.empty`): its parts, which the primary block names. Offsets are
counted from the start of the body in the primary block (part 0), from `Part.skip` in part 1, 2, ...
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, Final, NamedTuple

__all__ = [
    "ALIGNMENT",
    "BUFFER",
    "DEFINES",
    "DESCRIBED",
    "HEAD",
    "MOST_LAYOUTS",
    "PART",
    "PICKLED",
    "PICKLE_HEAD",
    "Layout",
    "Leaf",
    "Part",
    "align",
    "dumps_layout",
    "loads_layout",
]

PICKLED: Final = 0
DEFINES: Final = 1 << 31
DESCRIBED: Final = 1 << 30

MOST_LAYOUTS: Final = 64
"""Layouts that a worker and the consumer remember for each other. Batches of ever new shapes would
fill memory with what is never used again."""

ALIGNMENT: Final = 64
"""JAX on CPU and TensorFlow view an array that starts at a multiple of this, and copy others."""

HEAD: Final = struct.Struct("=QQ")
"""Bytes of the definition that follows; offset of the body in the block."""
PICKLE_HEAD: Final = struct.Struct("=QII")
"""Bytes of the pickle; number of parts; number of buffers."""
PART: Final = struct.Struct("=QQQQ")
"""See `Part`."""
BUFFER: Final = struct.Struct("=QQQ")
"""Part, offset, bytes. In part 0 the offset is counted from the start of the block."""


class Part(NamedTuple):
    """A block of the batch other than its primary."""

    block: int
    offset: int
    size: int
    skip: int
    """Bytes before the first that the batch uses."""


class Leaf(NamedTuple):
    """One array of a nest."""

    part: int
    offset: int
    shape: tuple[int, ...]
    dtype: Any
    strides: tuple[int, ...] | None
    """None: C order."""


class Layout(NamedTuple):
    """A nest of arrays."""

    structure: Any
    """The number of a leaf; or ("tuple" | "list", children) or ("dict", keys, children)."""
    leaves: list[Leaf]
    parts: int
    """Blocks other than the primary."""


def align(nbytes: int) -> int:
    """Round up to a multiple of `ALIGNMENT`."""
    return (nbytes + ALIGNMENT - 1) & -ALIGNMENT


def dumps_layout(layout: Layout) -> bytes:
    """Return the definition of `layout`."""
    return pickle.dumps(layout, 5)


def loads_layout(definition: bytes) -> Layout:
    """Return the layout of a definition."""
    layout: Layout = pickle.loads(definition)
    return layout
