"""The state file: every published state of the user's Sequence, in one anonymous shared file.

Actors
    consumer   the one thread that publishes and reclaims
    worker     maps what a version names, privately (`worker/state.py`)

Rules
    R1  What a manifest names is never written again: rewriting under live private mappings shows
        new data, zeros or SIGBUS. A new version appends what changed, and names the old spans for
        the rest; its manifest is written last.
    R2  A version exists from the one assignment to `_current` on. Whatever ends a publish before
        it leaves the version before intact; what was written lies beyond its end and is cut off.
    R3  A span is given back when the current version does not name it, and no living worker may
        hold a mapping of a version that does.
    R4  Shared arrays (memory/shared_arrays.py) are not in the file, and not of a version: the
        manifest names their own files, which stay open in the consumer until every worker has
        opened them, or has let go of the version.

Not here: which worker has acknowledged what (the table), when to publish (the enqueuer).
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from seqloader.executors.process.consumer.change import Kept, same_bytes
from seqloader.executors.process.consumer.mp_objects import PassedDescriptors
from seqloader.executors.process.wire.manifest import Manifest, SharedFile, Span, aligned
from seqloader.memory.descriptors import Descriptors
from seqloader.memory.memfile import FILE_SIZE_HINT
from seqloader.memory.shared_arrays import SharedMemory
from seqloader.sequence.bindings import Bindings, bindings, same_bindings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seqloader.executors.process.consumer.sending import Pickled

__all__ = ["StateFile"]

_CHUNK_BYTES: Final = 1 << 24
"""Written at once: small enough for a Ctrl-C between two of them. Reserving it with
`posix_fallocate` first is no faster, and `write` says ENOSPC by itself."""
_COMPARED_BYTES: Final = 1 << 19
"""Read at once for comparing: stays in the processor's cache."""
_FEW_BYTES: Final = 4096
"""Compared without an array to read into: most heads are so small, and asked about every epoch."""

_NO_SPAN: Final = Span(0, 0)
_NO_MANIFEST: Final = Manifest(0, _NO_SPAN, (), ())


class _Version(NamedTuple):
    """All that is known of a published version. Replaced as a whole, never changed."""

    manifest: Manifest = _NO_MANIFEST
    place: Span = _NO_SPAN
    """Of the manifest."""
    end: int = 0
    """Where the next version may write."""
    sequence: Any = None
    bound: Bindings | None = None
    """None: nothing is published yet."""
    addresses: tuple[int, ...] = ()
    """Where the consumer had the buffers: a hint as to which is which, never a proof."""
    externals: tuple[Kept, ...] = ()
    shared: tuple[SharedMemory, ...] = ()
    """Kept, so that a worker that has not loaded it yet can."""
    is_private: bool = False

    @property
    def spans(self) -> set[Span]:
        manifest = self.manifest
        return {
            self.place, manifest.head, manifest.names, *manifest.buffers, *manifest.externals
        }  # fmt: skip


class _InUse(NamedTuple):
    """What a worker may still have mapped of a version, or may still load."""

    spans: set[Span]
    shared: tuple[SharedMemory, ...]


class StateFile:
    """The published states of one Sequence.

    Attributes:
        fd: the file, for workers to inherit. Valid until `close()`.
        modules: what has to be imported to load the states so far.
    """

    def __init__(self) -> None:
        self._descriptors = Descriptors()
        self.fd = self._descriptors.memory("seqloader-state")
        self._current = _Version()
        self.modules: frozenset[str] = frozenset()
        self._passed = PassedDescriptors()
        self._in_use: dict[int, _InUse] = {}
        """Of the versions that a worker may still hold, and of the current one."""

    @property
    def version(self) -> int:
        """Of the current state; the first is 1, and 0 means that there is none yet."""
        return self._current.manifest.version

    @property
    def offset(self) -> int:
        """Where the manifest of the current state lies in the file."""
        return self._current.place.offset

    @property
    def shared(self) -> frozenset[SharedMemory]:
        """The memory of shared arrays that the current state refers to."""
        return frozenset(self._current.shared)

    @property
    def passed(self) -> frozenset[int]:
        """The user's own descriptors that the current state refers to, for workers to inherit."""
        return self._passed.numbers

    @property
    def is_private(self) -> bool:
        """Whether the current state refers to nothing that this process may change."""
        return self._current.is_private

    @property
    def keeps_older(self) -> bool:
        """Whether it has something of older versions, for `reclaim` to give back."""
        return len(self._in_use) > 1

    @property
    def nbytes(self) -> int:
        """Memory that the file occupies."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self) -> None:
        """Close the file, and let go of the Sequence. Idempotent; workers keep what they mapped."""
        self._descriptors.close()
        self._passed.close()
        self._current = _Version()
        self._in_use = {}

    def keep_names(self, data: bytes) -> None:
        """Write the script's names, for every version; before the first one is published."""
        assert not self.version, "versions refer to other names"
        if data:
            draft = _Draft(self.fd, self._current.end)
            names = draft.append(np.frombuffer(data, np.uint8))
            manifest = self._current.manifest._replace(names=names)
            self._current = self._current._replace(manifest=manifest, end=draft.end)

    def publish(self, sequence: Any, *, in_place: bool) -> bool:
        """Write the state that `sequence` has now, if it is not that of the current version.

        Args:
            in_place: it may have been changed inside its attributes. Otherwise only attributes
                that were bound anew count, which takes microseconds to find.

        Returns:
            Whether there is a new version.

        Raises:
            TypeError, PicklingError: a part cannot be pickled; the message names it.
            MemoryError: the system has no memory for it.
        """
        # Not above: the first workers start before anything is pickled, and need not wait for it.
        from seqloader.executors.process.consumer.sending import pickle_state

        before = self._current
        bound = bindings(sequence)
        if (
            not in_place
            and before.bound is not None
            and before.sequence is sequence
            and same_bindings(before.bound, bound)
        ):
            return False
        pickled = pickle_state(sequence, before.externals, self._passed)
        try:
            self._current = self._write(pickled, before._replace(sequence=sequence, bound=bound))
        except BaseException:
            if self._current is before:
                os.ftruncate(self.fd, before.end)
            raise
        self._passed.forget_others()
        self.modules |= pickled.modules
        return self._current.manifest is not before.manifest

    def reclaim(self, acknowledged: Iterable[int]) -> None:
        """Give back what no worker needs any more.

        Args:
            acknowledged: for each living worker, a version such that it holds no mapping of an
                older one and will load no older one; 0 for what is not known.
        """
        oldest = min(acknowledged, default=self.version)
        gone = [version for version in self._in_use if version < min(oldest, self.version)]
        if not gone:
            return
        old = set().union(*(self._in_use[version].spans for version in gone))
        for version, used in self._in_use.items():
            if version not in gone:
                old -= used.spans
        for span in old:
            _punch(self.fd, span)
        for version in gone:
            del self._in_use[version]

    def check(self) -> None:
        """Assert what must hold between calls."""
        current, used = self._current, self._in_use
        spans = sorted(set[Span]().union(current.spans, *(one.spans for one in used.values())))
        whole = [span for span in spans if span.nbytes]
        for one, other in pairwise(whole):
            assert one.end <= other.offset, f"{one} and {other} overlap"
        assert not whole or whole[-1].end <= current.end, (whole[-1], current.end)
        assert not self.version or self.version == max(used), (self.version, used.keys())

    def _write(self, pickled: Pickled, before: _Version) -> _Version:
        """Write what differs from `before`, and return what is then the current version."""
        draft = _Draft(self.fd, before.end)
        buffers, addresses = self._write_buffers(draft, pickled.buffers, before)
        known = dict(zip(map(id, before.externals), before.manifest.externals, strict=True))
        externals = tuple(
            known.get(id(kept)) or draft.append(np.frombuffer(kept.pickled(), np.uint8))
            for kept in pickled.externals
        )
        head = before.manifest.head
        if not draft.holds(head, pickled.head):
            head = draft.append(pickled.head)
        after = before._replace(
            addresses=addresses,
            externals=tuple(pickled.externals),
            shared=tuple(pickled.shared),
            is_private=pickled.is_private,
        )
        shared = tuple(map(_file_of, pickled.shared))
        version, names = before.manifest.version + 1, before.manifest.names
        manifest = Manifest(version, head, buffers, externals, shared, names)
        if manifest[1:] == before.manifest[1:]:
            return after
        place = draft.append(np.frombuffer(manifest.encode(), np.uint8))
        os.ftruncate(self.fd, draft.end)
        after = after._replace(manifest=manifest, place=place, end=draft.end)
        self._in_use[manifest.version] = _InUse(after.spans, after.shared)
        return after

    def _write_buffers(
        self, draft: _Draft, buffers: list[NDArray[np.uint8]], before: _Version
    ) -> tuple[tuple[Span, ...], tuple[int, ...]]:
        sent = before.manifest.buffers
        by_address = dict(zip(before.addresses, sent, strict=True))
        written: dict[tuple[int, int], Span] = {}
        """Two arrays over the same memory share it in the worker too."""
        spans: list[Span] = []
        for number, buffer in enumerate(buffers):
            address = _address(buffer)
            span = written.get((address, buffer.nbytes))
            if span is None:
                likely = by_address.get(address), sent[number] if number < len(sent) else None
                for span in dict.fromkeys(likely):
                    if span is not None and draft.holds(span, buffer):
                        break
                else:
                    span = draft.append(buffer)
                written[address, buffer.nbytes] = span
            spans.append(span)
        return tuple(spans), tuple(map(_address, buffers))


class _Draft:
    """The end of the file, where a version grows that does not exist yet."""

    def __init__(self, fd: int, end: int) -> None:
        self._fd = fd
        self.end = end

    def append(self, data: NDArray[np.uint8]) -> Span:
        """Write `data` after everything else."""
        span = Span(self.end, data.nbytes)
        done = 0
        try:
            while done < span.nbytes:
                chunk = data[done : done + _CHUNK_BYTES].data
                done += os.pwrite(self._fd, chunk, span.offset + done)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT, errno.EFBIG):
                raise
            hint = f"; {FILE_SIZE_HINT}" if error.errno == errno.EFBIG else ""
            raise MemoryError(
                f"no memory to share the Sequence with its workers: {span.nbytes:,} bytes were "
                f"to be written for one part of it, after {span.offset:,} bytes of other parts "
                f"and earlier states; the system took {done:,} ({error.strerror}{hint})"
            ) from error
        self.end = aligned(span.end)
        return span

    def holds(self, span: Span, data: NDArray[np.uint8]) -> bool:
        """Whether the span of an earlier version holds exactly `data`."""
        if span.nbytes != data.nbytes:
            return False
        if span.nbytes <= _FEW_BYTES:
            return os.pread(self._fd, span.nbytes, span.offset) == data.data
        buffer = np.empty(min(_COMPARED_BYTES, span.nbytes), np.uint8)
        for start in range(0, span.nbytes, _COMPARED_BYTES):
            now = data[start : start + _COMPARED_BYTES]
            sent = buffer[: now.size]
            if os.preadv(self._fd, [sent.data], span.offset + start) != now.size:
                return False
            if not same_bytes(sent, now):
                return False
        return True


def _file_of(memory: SharedMemory) -> SharedFile:
    facts = os.fstat(memory.fd)
    return SharedFile(memory.fd, facts.st_dev, facts.st_ino, memory.nbytes)


def _address(data: NDArray[np.uint8]) -> int:
    return int(data.__array_interface__["data"][0])


def _punch(fd: int, span: Span) -> None:
    """Give the memory of a span back. Where the system cannot, it stays until `close()`."""
    try:
        with mmap.mmap(fd, aligned(span.nbytes), offset=span.offset) as mapping:
            mapping.madvise(mmap.MADV_REMOVE)
    except (AttributeError, OSError):
        pass
