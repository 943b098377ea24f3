"""Writes a batch into a block.

Nests of arrays take the fast path: what they look like is sent once, and then their bytes alone.
Everything else is pickled, its buffers beside the pickle. Either way, an array that was built in
the arena (`seqloader.empty`) is not copied: its own block is lent, if nothing but the batch refers
to it. Whether something does is only known when the batch is gone; so a batch comes in a box,
which is emptied here.

# Note [What may take the fast path]
Exact tuples, lists and dicts (exact str and int keys) of exact numpy arrays without objects, none
of them empty or there twice: of what else the consumer could rebuild, either its type would
change, or two names for one object would become two objects. An empty container is left out
because it might be there twice.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from seqloader.executors.process.wire import pickling
from seqloader.executors.process.wire.blocks import size_class
from seqloader.executors.process.wire.layouts import (
    BUFFER,
    DEFINES,
    DESCRIBED,
    HEAD,
    MOST_LAYOUTS,
    PART,
    PICKLE_HEAD,
    PICKLED,
    Layout,
    Leaf,
    align,
    dumps_layout,
)
from seqloader.executors.process.wire.overlaps import find_regions
from seqloader.executors.process.wire.views import extent_of, is_worth_overlapping
from seqloader.executors.process.worker.parts import HeldPart, find_buffer_parts, find_parts

if TYPE_CHECKING:
    from seqloader.executors.process.wire.overlaps import Regions
    from seqloader.executors.process.worker.arena import Arena, Block

__all__ = ["NO_BLOCK", "Encoded", "Encoder"]

_DEEPEST: Final = 20
_MOST_LEAVES: Final = 1000
"""A nest beyond these is pickled: lists that grow without end would be walked without end."""

_MOST_DTYPES: Final = 256


class Encoded(NamedTuple):
    """Where something lies that is reported: fields of the report."""

    offset: int
    size: int
    nbytes: int
    block: int
    layout: int


NO_BLOCK: Final = Encoded(0, 0, 0, 0, 0)
"""Of a report without a block."""


class Encoder:
    """Writes batches into blocks of one arena."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._known: dict[Any, _WrittenLayout] = {}
        self._dtypes: dict[int, np.dtype[Any]] = {}
        self._pickled_dtypes: dict[bytes, np.dtype[Any]] = {}

    def encode(self, box: list[Any]) -> Encoded:
        """Write the batch in `box` into a block and lend it; the box is empty after that.

        Raises:
            MemoryError: there is no memory for it.
            pickle.PicklingError: it is no nest of arrays, and cannot be pickled.
        """
        leaves: list[Any] = []
        try:
            key = self._look_of(box[0], leaves, _DEEPEST)
        except _UnsuitedError:
            key = None
        if key is None or _repeats(leaves):
            leaves.clear()
            return self._encode_pickled(box)
        arena = self._arena
        if arena.holds and any(leaf.base is not None for leaf in leaves):
            parts, places = find_parts(leaves)
            if parts:
                return self._encode_with_parts(box, leaves, (key, *places), parts, places)
        known = self._known.get(key)
        if known is None:
            regions = _shared_regions(leaves)
            if regions is not None:
                leaves.clear()
                return self._encode_pickled(box, regions)
            return self._encode_with_parts(box, leaves, key, [], [])
        block = arena.take(known.size)
        try:
            copies = block.copies
            for copy, leaf in zip(
                copies[1] if copies and copies[0] is known else self._copies(known, block),
                leaves,
                strict=True,
            ):
                copy[...] = leaf
        except BaseException:
            arena.release(block)
            raise
        arena.lend(block)
        box.clear()
        return Encoded(block.offset, block.size, block.size, block.number, known.number)

    # --- what a batch looks like --------------------------------------------------------------

    def _look_of(self, node: Any, leaves: list[Any], depth: int) -> Any:
        """A key that is equal for batches that look alike; see the note on top."""
        kind = type(node)
        if kind is np.ndarray:
            leaves.append(node)
            dtype = node.dtype
            if id(dtype) not in self._dtypes:
                dtype = self._known_dtype(dtype)
            return node.shape, node.strides, id(dtype)
        if kind is not tuple and kind is not list and kind is not dict:
            raise _UnsuitedError
        if not depth or not node or len(leaves) > _MOST_LEAVES:
            raise _UnsuitedError
        depth -= 1
        if kind is not dict:
            return kind, *[self._look_of(child, leaves, depth) for child in node]
        looks: list[Any] = [kind]
        for name, child in node.items():
            if type(name) is not str and type(name) is not int:
                raise _UnsuitedError
            looks += (name, self._look_of(child, leaves, depth))
        return tuple(looks)

    def _known_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype that stands for all that pickle calls equal, kept alive for its id's sake."""
        if dtype.hasobject or dtype.char == "T" or not dtype.itemsize or dtype.subdtype:
            raise _UnsuitedError
        if not getattr(type(dtype), "_legacy", True):  # its elements may refer to something
            raise _UnsuitedError
        if dtype.isbuiltin == 1:  # there is one of each
            return self._dtypes.setdefault(id(dtype), dtype)
        try:
            pickled = pickle.dumps(dtype, 5)
        except Exception:
            raise _UnsuitedError from None  # metadata of the user's: the pickle path says it better
        known = self._pickled_dtypes.get(pickled)
        if known is None:
            if len(self._pickled_dtypes) >= _MOST_DTYPES:
                raise _UnsuitedError
            known = self._pickled_dtypes[pickled] = self._dtypes[id(dtype)] = dtype
        return known

    # --- nests of arrays ----------------------------------------------------------------------

    def _copies(self, known: _WrittenLayout, block: Block) -> list[Any]:
        """The arrays that a batch is copied to, in a block without a head."""
        copies = _destinations(known, self._arena.map, block.offset)
        if block.recycled:  # else a consumer that keeps every batch would fill us with these
            block.copies = (known, copies)
        return copies

    def _encode_with_parts(
        self, box: list[Any], leaves: list[Any], key: Any, parts: list[HeldPart], places: list[Any]
    ) -> Encoded:
        """A batch that looks like none before, so that its layout travels with it; or some of whose
        arrays lie in the arena already."""
        arena = self._arena
        known = self._known.get(key)
        new = known is None
        if known is None:
            known = _known_layout(box[0], leaves, places, len(parts), len(self._known) + 1)
            definition = dumps_layout(known.layout)
            start = align(HEAD.size + len(definition))
            head = HEAD.pack(len(definition), start) + definition
        else:
            start, head = 0, b""
        block = arena.reserve(start + known.nbytes)
        try:
            arena.memory[block.offset : block.offset + len(head)] = head
            _copy(leaves, known, _destinations(known, arena.map, block.offset + start))
            nbytes = self._finish(box, leaves, parts, block, block.offset + start)
        except BaseException:
            arena.release(block)
            raise
        number = known.number
        if new and number != DESCRIBED:
            self._known[key] = known
            number |= DEFINES
        return Encoded(block.offset, block.size, nbytes, block.number, number)

    def _finish(
        self, box: list[Any], leaves: list[Any], parts: list[HeldPart], block: Block, table: int
    ) -> int:
        """Let go of the batch, decide what becomes of its parts, lend all. Returns their bytes."""
        leaves.clear()
        box.clear()
        arena = self._arena
        copied: list[tuple[Block, int] | None] = []
        try:
            for part in parts:
                alone = part.is_alone()
                copied.append(None if alone else self._copy_part(part))
        except BaseException:
            for moved in copied:
                if moved is not None:
                    arena.release(moved[0])
            raise
        nbytes = block.size
        for part, moved in zip(parts, copied, strict=True):
            if moved is None:
                lent, skip = part.hold.block, part.start
                assert lent is not None
                arena.lend_held(part.hold)
            else:
                lent, skip = moved
                arena.lend(lent)
            PART.pack_into(arena.memory, table, lent.number, lent.offset, lent.size, skip)
            table += PART.size
            nbytes += lent.size
        arena.lend(block)
        return nbytes

    def _copy_part(self, part: HeldPart) -> tuple[Block, int]:
        """A part that user code still refers to: the used bytes, in another block."""
        arena = self._arena
        source = part.hold.block
        assert source is not None
        skip = part.start % 64
        used = part.stop - part.start
        block = arena.reserve(skip + used)
        start = source.offset + part.start
        target = block.offset + skip
        arena.memory[target : target + used] = arena.memory[start : start + used]
        return block, skip

    # --- everything else ----------------------------------------------------------------------

    def _encode_pickled(self, box: list[Any], regions: Regions | None = None) -> Encoded:
        arena = self._arena
        data, buffers = pickling.dumps(box[0], regions=regions)
        regions = None
        raw: memoryview | None
        raws = [buffer.raw() for buffer in buffers]
        parts: list[HeldPart] = []
        places: list[Any] = [None] * len(raws)
        if arena.holds:
            parts, places = find_buffer_parts(buffers, raws)
        pickled_at = PICKLE_HEAD.size + len(parts) * PART.size + len(raws) * BUFFER.size
        end = align(pickled_at + len(data))
        entries: list[tuple[int, int, int]] = []
        for raw, place in zip(raws, places, strict=True):
            if place is None:
                entries.append((0, end, raw.nbytes))
                end = align(end + raw.nbytes)
            else:
                entries.append((*place, raw.nbytes))
        block = arena.reserve(end)
        try:
            memory = arena.memory[block.offset : block.offset + block.size]
            memory[: PICKLE_HEAD.size] = PICKLE_HEAD.pack(len(data), len(parts), len(raws))
            head = b"".join(BUFFER.pack(*entry) for entry in entries)
            memory[pickled_at - len(head) : pickled_at + len(data)] = head + data
            for raw, (part, offset, nbytes) in zip(raws, entries, strict=True):
                if part == 0 and nbytes:
                    memory[offset : offset + nbytes] = raw
            raws.clear()
            buffers.clear()
            raw = None  # a loop's last one would keep its array alive
            nbytes = self._finish(box, [], parts, block, block.offset + PICKLE_HEAD.size)
        except BaseException:
            arena.release(block)
            raise
        return Encoded(block.offset, block.size, nbytes, block.number, PICKLED)


class _UnsuitedError(Exception):
    """The batch must be pickled."""


class _WrittenLayout(NamedTuple):
    """A layout, and how batches that look like it are written."""

    layout: Layout
    nbytes: int
    size: int
    """Of the block, where no definition is in it."""
    number: int
    """That reports name it by; DESCRIBED: there are too many already."""


def _shared_regions(leaves: list[Any]) -> Regions | None:
    """What to send in place of arrays so much of which is the same memory that copies of each would
    be out of proportion: windows over a signal, and the like. None: copies will do.

    Asked only of looks that are not known yet, so that the fast path does not pay for it.
    """
    nbytes = sum(leaf.nbytes for leaf in leaves)
    if not is_worth_overlapping(nbytes, 0) or all(leaf.base is None for leaf in leaves):
        return None
    regions = find_regions(leaves)
    alone = sum(min(leaf.nbytes, extent_of(leaf)) for leaf in leaves if regions.find(leaf) is None)
    return regions if is_worth_overlapping(nbytes, regions.nbytes + alone) else None


def _repeats(leaves: list[Any]) -> bool:
    if len(leaves) == 2:
        return leaves[0] is leaves[1]
    return len({*map(id, leaves)}) != len(leaves)


def _known_layout(
    batch: Any, leaves: list[Any], places: list[Any], parts: int, number: int
) -> _WrittenLayout:
    structure, _ = _structure(batch, 0)
    end = align(parts * PART.size)
    entries = []
    for leaf, place in zip(leaves, places or [None] * len(leaves), strict=True):
        flags = leaf.flags
        if place is None:
            strides = leaf.strides if flags.f_contiguous and not flags.c_contiguous else None
            entries.append(Leaf(0, end, leaf.shape, leaf.dtype, strides))
            end = align(end + leaf.nbytes)
        else:
            strides = None if flags.c_contiguous else leaf.strides
            entries.append(Leaf(place[0], place[1], leaf.shape, leaf.dtype, strides))
    if number > MOST_LAYOUTS:
        number = DESCRIBED
    return _WrittenLayout(Layout(structure, entries, parts), end, size_class(end), number)


def _structure(node: Any, number: int) -> tuple[Any, int]:
    """The structure of a nest, see `Layout`, and the number of its next leaf."""
    if type(node) is np.ndarray:
        return number, number + 1
    children = []
    for child in node.values() if type(node) is dict else node:
        structure, number = _structure(child, number)
        children.append(structure)
    if type(node) is dict:
        return ("dict", list(node), children), number
    return (type(node).__name__, children), number


def _destinations(known: _WrittenLayout, memory: Any, start: int) -> list[Any]:
    return [
        np.ndarray(leaf.shape, leaf.dtype, memory, start + leaf.offset, leaf.strides)
        for leaf in known.layout.leaves
        if not leaf.part
    ]


def _copy(leaves: list[Any], known: _WrittenLayout, destinations: list[Any]) -> None:
    # A function, because what its loop ends with must not be referred to when `_finish` counts.
    rest = iter(destinations)
    for leaf, entry in zip(leaves, known.layout.leaves, strict=True):
        if not entry.part:
            next(rest)[...] = leaf
