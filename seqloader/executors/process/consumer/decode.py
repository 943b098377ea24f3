"""A batch that lies in blocks, and how it is rebuilt: arrays that view them, under one lease."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqloader.executors.process.wire import pickling
from seqloader.executors.process.wire.layouts import (
    BUFFER,
    DEFINES,
    DESCRIBED,
    HEAD,
    PART,
    PICKLE_HEAD,
    PICKLED,
    Part,
    loads_layout,
)
from seqloader.executors.process.wire.records import Report
from seqloader.tickets import RebuildError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.executors.process.consumer.arena import Arenas, ArenaView
    from seqloader.tickets import Ticket

__all__ = ["ComputedBatch", "Decoder"]

_ndarray: Any = np.ndarray


class Block(NamedTuple):
    """A block of a batch."""

    number: int
    offset: int
    size: int


class ComputedBatch:
    """Outcome `Computed` of the process executor: opening it leases its blocks."""

    __slots__ = ("_decoder", "_fields", "_view", "busy_s", "nbytes", "slot", "ticket")

    def __init__(
        self, ticket: Ticket, slot: int, fields: tuple[Any, ...], view: ArenaView, decoder: Decoder
    ) -> None:
        self.ticket = ticket
        self.slot = slot
        self._fields = fields
        """Of a `Report`: they become one only where that is needed, since one is made per batch."""
        self._view = view
        self._decoder = decoder
        self.nbytes = fields[3]
        """Bytes the batch occupies."""
        self.busy_s = fields[7]
        """Seconds the worker spent on it."""

    @property
    def taken_ns(self) -> int:
        """When the worker took the ticket, on the clock of `time.monotonic_ns`."""
        return int(self._fields[4])

    @property
    def take_s(self) -> float:
        """The first part of `busy_s`: what had to be loaded."""
        return float(self._fields[8])

    @property
    def encode_s(self) -> float:
        """The last part of `busy_s`: writing the batch into shared memory."""
        return float(self._fields[9])

    def open(self) -> Any:
        """The batch, its arrays viewing the blocks. Called at most once."""
        return self._decoder.decode(self._view, self._fields)

    def discard(self) -> None:
        """Give the blocks back without opening it."""
        self._decoder.discard(self._view, self._fields)


class Decoder:
    """Rebuilds batches, or gives their blocks back. In `fields` are those of a `Report`.

    Args:
        arenas: to which the blocks belong.
        copy: hand over private memory and free the blocks at once.
    """

    def __init__(self, arenas: Arenas, copy: bool = False) -> None:
        self._arenas = arenas
        self._copy = copy

    def define(self, view: ArenaView, fields: tuple[Any, ...]) -> None:
        """Remember the layout that a report defines, also if its batch is never opened."""
        report = Report._make(fields)
        known, _ = _read_definition(view, report)
        view.layouts[report.layout & ~DEFINES] = known

    def discard(self, view: ArenaView, fields: tuple[Any, ...]) -> None:
        """Give back the blocks of a batch that is never opened."""
        for block in self.blocks(view, Report._make(fields)):
            self._arenas.release(view, *block)

    def blocks(self, view: ArenaView, report: Report) -> list[Block]:
        """All blocks of a batch that is not opened yet."""
        first = Block(report.block, report.offset, report.size)
        if report.layout == PICKLED:
            head = view.read(report.offset, PICKLE_HEAD.size)
            parts, table = PICKLE_HEAD.unpack(head)[1], PICKLE_HEAD.size
        else:
            known, table = _known_layout(view, report)
            parts = known.parts
        return [first, *(Block(*part[:3]) for part in _read_parts(view, report, parts, table))]

    def decode(self, view: ArenaView, fields: tuple[Any, ...]) -> Any:
        """Return the batch.

        Raises:
            RebuildError: rebuilding the user's objects raised, which is its cause.
        """
        known = view.layouts.get(fields[6])
        if known is None or known.parts or self._copy:
            return self._decode_slowly(view, Report._make(fields))
        lease = view.lease(fields[1], fields[2], fields[5])
        return known.build(
            [
                _ndarray(shape, dtype, lease, offset, strides)
                for shape, dtype, offset, strides in known.leaves
            ]
        )

    def _decode_slowly(self, view: ArenaView, report: Report) -> Any:
        if report.layout == PICKLED:
            return self._unpickle(view, report)
        known, start = _known_layout(view, report)
        leases, starts = _lease_all(view, report, known.parts, start)
        starts[0] = start
        arrays = []
        for (shape, dtype, offset, strides), part in zip(known.leaves, known.places, strict=True):
            array: Any = _ndarray(shape, dtype, leases[part], starts[part] + offset, strides)
            arrays.append(array.copy("K") if self._copy else array)
        return known.build(arrays)

    def _unpickle(self, view: ArenaView, report: Report) -> Any:
        nbytes, parts, count = PICKLE_HEAD.unpack(view.read(report.offset, PICKLE_HEAD.size))
        leases, starts = _lease_all(view, report, parts, PICKLE_HEAD.size)
        memories = [memoryview(lease).cast("B") for lease in leases]
        del leases
        head = PICKLE_HEAD.size + parts * PART.size
        pickled = head + count * BUFFER.size
        buffers: list[Any] = []
        buffer: Any
        for part, offset, size in BUFFER.iter_unpack(memories[0][head:pickled]):
            first = starts[part] + offset
            buffer = memories[part][first : first + size]
            buffers.append(bytearray(buffer) if self._copy else buffer)
        data = bytes(memories[0][pickled : pickled + nbytes])
        memories.clear()
        buffer = None
        try:
            return pickling.loads(data, buffers)
        except Exception as error:
            raise RebuildError from error
        finally:
            buffers.clear()  # a traceback must not keep the block


class _ReadLayout(NamedTuple):
    """A layout, and how batches that look like it are rebuilt."""

    leaves: list[tuple[Any, ...]]
    """Shape, dtype, offset, strides."""
    places: list[int]
    """The part that each leaf lies in."""
    parts: int
    build: Callable[[list[Any]], Any]
    """Arrays to nest."""


def _known_layout(view: ArenaView, report: Report) -> tuple[_ReadLayout, int]:
    """The layout for a report, and where in the block the body begins."""
    if report.layout == DESCRIBED:
        return _read_definition(view, report)
    known = view.layouts[report.layout & ~DEFINES]
    if report.layout & DEFINES:
        return known, HEAD.unpack(view.read(report.offset, HEAD.size))[1]
    return known, 0


def _read_definition(view: ArenaView, report: Report) -> tuple[_ReadLayout, int]:
    nbytes, start = HEAD.unpack(view.read(report.offset, HEAD.size))
    layout = loads_layout(view.read(report.offset + HEAD.size, nbytes))
    leaves = [(leaf.shape, leaf.dtype, leaf.offset, leaf.strides) for leaf in layout.leaves]
    places = [leaf.part for leaf in layout.leaves]
    return _ReadLayout(leaves, places, layout.parts, _builder(layout.structure, len(leaves))), start


def _read_parts(view: ArenaView, report: Report, parts: int, table: int) -> list[Part]:
    if not parts:
        return []
    data = view.read(report.offset + table, parts * PART.size)
    return [Part(*fields) for fields in PART.iter_unpack(data)]


def _lease_all(
    view: ArenaView, report: Report, parts: int, table: int
) -> tuple[list[Any], list[int]]:
    """Leases of the primary block and the parts; for each, the byte that offsets count from."""
    if not parts:
        return [view.lease(report.offset, report.size, report.block)], [0]
    others = _read_parts(view, report, parts, table)
    batch = [1 + parts, report.size + sum(part.size for part in others)]
    leases = [view.lease(report.offset, report.size, report.block, batch)]
    view.held_batches += 1
    leases += [view.lease(part.offset, part.size, part.block, batch) for part in others]
    return leases, [0, *(part.skip for part in others)]


def _builder(structure: Any, count: int) -> Callable[[list[Any]], Any]:
    if isinstance(structure, int):
        return itemgetter(structure)
    kind, *names, children = structure
    if children == [*range(count)]:  # a flat nest, by far the most common
        if kind == "dict":
            return lambda arrays: dict(zip(names[0], arrays, strict=True))
        return tuple if kind == "tuple" else lambda arrays: arrays
    builders = [_builder(child, -1) for child in children]
    if kind == "dict":
        return lambda arrays: dict(
            zip(names[0], [build(arrays) for build in builders], strict=True)
        )
    if kind == "tuple":
        return lambda arrays: tuple([build(arrays) for build in builders])
    return lambda arrays: [build(arrays) for build in builders]
