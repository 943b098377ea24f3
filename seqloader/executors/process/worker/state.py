"""Loading a published state of the Sequence: the worker's side of the state file.

The memory of arrays is mapped privately, copy on write: all workers share the pages that none of
them writes to, and what one writes is its own. So is that of shared arrays, from files of their
own. Heads and externals are read, not mapped.
"""

from __future__ import annotations

import functools
import gc
import io
import mmap
import os
import pickle
import select
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.wire.definitions import script
from seqloader.executors.process.wire.manifest import Manifest, Span, read_manifest
from seqloader.executors.process.wire.table import FIRST_OFFSET, FIRST_VERSION
from seqloader.executors.process.worker.script import bring_wanted, offer
from seqloader.executors.process.worker.shared import SharedFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["StateLoader", "await_state"]

_GAP_BYTES: Final = 1 << 26
"""Spans that lie closer are mapped together: a mapping costs a descriptor (Python's mmap keeps a
duplicate) and one of the 65,530 that Linux allows; what lies between costs addresses only."""

_NORESERVE: Final = 0x4000 if sys.platform == "linux" else 0
"""MAP_NORESERVE: pages that are never written to need no promise of memory, nor do the gaps."""


def await_state(gate: int, table: memoryview) -> tuple[int, int]:
    """Wait until the consumer has published a first state; version 0: it stops instead."""
    poll = select.poll()
    poll.register(gate, select.POLLIN)
    poll.poll()
    os.close(gate)
    return table[FIRST_VERSION], table[FIRST_OFFSET]


class StateLoader:
    """Loads states from the state file, and knows which of them are still mapped.

    Args:
        fd: of the state file.
        shared: descriptors of shared arrays that this process has inherited.
        consumer: its process id; 0: it is the parent.
    """

    def __init__(self, fd: int, shared: Iterable[int] = (), consumer: int = 0) -> None:
        self._fd = fd
        self._shared = SharedFiles(shared, consumer)
        self._version = 0
        self._mapped: list[tuple[int, weakref.ref[mmap.mmap]]] = []
        self._externals: dict[Span, Any] = {}
        """As they were sent. The Sequence gets copies: user code may change those in place."""
        self._collected = 0
        """Version after whose loading garbage was collected."""

    def load(self, version: int, offset: int) -> Any:
        """The Sequence as it was when `version` was published, its manifest at `offset`.

        Raises whatever unpickling raises.
        """
        manifest = read_manifest(self._fd, offset)
        assert manifest.version == version, (manifest.version, version)
        self._externals = {
            span: self._externals[span] if span in self._externals else self._read_external(span)
            for span in manifest.externals
        }
        unpickler = _Unpickler(
            self._read(manifest.head),
            self._map_buffers(manifest),
            self._copies(manifest),
            self._shared.map(manifest.shared),
        )
        if manifest.names.nbytes and not self._version:
            offer(functools.partial(self._read, manifest.names))
        with script.replacing():
            sequence = unpickler.load()
        bring_wanted()
        self._version = version
        return sequence

    def acknowledged(self) -> int:
        """The highest version such that nothing older is mapped any more."""
        oldest = self._oldest()
        if oldest < self._version and self._collected < self._version:
            self._collected = self._version
            gc.collect()  # a bound method among its own attributes makes a cycle of a Sequence
            oldest = self._oldest()
        return oldest

    def _oldest(self) -> int:
        self._mapped = [entry for entry in self._mapped if entry[1]() is not None]
        return min((version for version, _ in self._mapped), default=self._version)

    def _map_buffers(self, manifest: Manifest) -> Iterator[memoryview]:
        views: dict[Span, memoryview] = {}
        for first, last, spans in _runs(sorted(set(manifest.buffers))):
            mapping = mmap.mmap(
                self._fd,
                last - first,
                flags=mmap.MAP_PRIVATE | _NORESERVE,
                prot=mmap.PROT_READ | mmap.PROT_WRITE,
                offset=first,
            )
            self._mapped.append((manifest.version, weakref.ref(mapping)))
            whole = memoryview(mapping)
            for span in spans:
                views[span] = whole[span.offset - first : span.end - first]
        return iter([views[span] for span in manifest.buffers])

    def _read_external(self, span: Span) -> Any:
        return pickle.loads(self._read(span))

    def _copies(self, manifest: Manifest) -> list[Any]:
        originals = (self._externals[span] for span in manifest.externals)
        return [one.copy() if type(one) in (list, dict, set) else one for one in originals]

    def _read(self, span: Span) -> bytearray:
        data = bytearray(span.nbytes)
        view = memoryview(data)
        done = 0
        while done < span.nbytes:  # one call reads 2 GiB at the most
            count = os.preadv(self._fd, [view[done:]], span.offset + done)
            assert count, f"the state file ends inside {span}"
            done += count
        return data


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        head: bytearray,
        buffers: Iterator[memoryview],
        externals: list[Any],
        shared: list[Any],
    ) -> None:
        super().__init__(io.BytesIO(head), buffers=buffers)
        self._externals = externals
        self._shared = shared

    def persistent_load(self, pid: int | tuple[int]) -> Any:
        return self._shared[pid[0]] if isinstance(pid, tuple) else self._externals[pid]


def _runs(spans: Sequence[Span]) -> Iterator[tuple[int, int, list[Span]]]:
    """Start, end and spans of the ranges to map, of spans in order."""
    run: list[Span] = []
    for span in spans:
        if run and span.offset - run[-1].end > _GAP_BYTES:
            yield run[0].offset, run[-1].end, run
            run = []
        run.append(span)
    if run:
        yield run[0].offset, run[-1].end, run
