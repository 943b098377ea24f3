"""The Sequence, in Ray's object store: once for each version, and there once for each machine.

Rules
    S1  What is in the store is never changed. A new version puts what differs, and names the
        objects of the version before for the rest; its manifest is put last.
    S2  What did not change is found by comparing with the store's own copy, byte by byte.
    S3  Objects live as long as a version that names them is the current one; an actor that has
        loaded one has its own copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.executors.process.consumer.change import same_bytes
from seqloader.executors.process.consumer.mp_objects import PassedDescriptors
from seqloader.executors.process.consumer.sending import pickle_state
from seqloader.executors.ray.records import Manifest
from seqloader.sequence.bindings import bindings, same_bindings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from seqloader.executors.process.consumer.change import Kept
    from seqloader.memory.shared_arrays import SharedMemory
    from seqloader.sequence.bindings import Bindings

__all__ = ["State"]

_OBJECT_FROM: Final = 1 << 16
"""Bytes from which a part is an object of its own. Smaller ones travel inside the manifest."""


class State:
    """The published states of one Sequence."""

    def __init__(self) -> None:
        self.version = 0
        """Of the current state; 0: there is none yet."""
        self.reference: list[Any] = []
        """Of its manifest: in a list, as calls carry it."""
        self._parts = _NOTHING
        self._externals: tuple[Kept, ...] = ()
        self._shared: tuple[SharedMemory, ...] = ()
        self._sequence: Any = None
        self._bound: Bindings | None = None

    def publish(self, sequence: Any, *, in_place: bool) -> bool:
        """Put the state that `sequence` has now, if it is not that of the current version.

        Args:
            in_place: it may have been changed inside its attributes; else only rebound ones count.

        Returns:
            Whether there is a new version.

        Raises:
            TypeError, PicklingError: a part cannot be sent; the message names it.
        """
        import ray

        bound = bindings(sequence)
        known = self._bound is not None and self._sequence is sequence
        same = not in_place and known and same_bindings(self._bound or {}, bound)
        if same and self._has_sent(self._shared):
            return False
        passed = PassedDescriptors()
        try:
            pickled = pickle_state(sequence, self._externals, passed)
            if passed.numbers:
                raise TypeError(
                    "the Sequence holds an object of multiprocessing, or a tensor in shared "
                    "memory, that exists on this machine only: a lock, a queue, a pipe, a shared "
                    "value. Actors may run elsewhere; do without it, or use worker processes"
                )
        finally:
            passed.close()
        before, kept = self._parts, dict(zip(map(id, self._externals), self._parts[2], strict=True))
        externals = [
            kept.get(id(one)) or _Part.of(np.frombuffer(one.pickled(), np.uint8))
            for one in pickled.externals
        ]
        parts = (
            _same_or_new([pickled.head], before[0]),
            _same_or_new(pickled.buffers, before[1]),
            externals,
            _same_or_new([_bytes_of(memory) for memory in pickled.shared], before[3]),
        )
        changed = not self.version or any(
            [id(one) for one in now] != [id(one) for one in then]
            for now, then in zip(parts, before, strict=True)
        )
        if changed:
            head, *others = (tuple(part.sent for part in group) for group in parts)
            self.reference = [ray.put(Manifest(head[0], *others))]
            self.version += 1
        self._parts, self._externals = parts, tuple(pickled.externals)
        self._shared = tuple(pickled.shared)
        self._sequence, self._bound = sequence, bound
        return changed

    def _has_sent(self, memories: Iterable[SharedMemory]) -> bool:
        """Whether shared arrays are as they were put: who writes into one says nothing of it."""
        parts = zip(memories, self._parts[3], strict=True)
        return all(part.holds(_bytes_of(memory)) for memory, part in parts)

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self.__init__()  # type: ignore[misc]


class _Part:
    """Bytes that were put into the store, or travel inside the manifest."""

    __slots__ = ("sent", "small")

    def __init__(self, sent: Any, small: bool) -> None:
        self.sent = sent
        self.small = small

    @classmethod
    def of(cls, data: NDArray[np.uint8]) -> _Part:
        if data.nbytes < _OBJECT_FROM:
            return cls(data.tobytes(), True)
        import ray

        return cls(ray.put(data), False)

    def holds(self, data: NDArray[np.uint8]) -> bool:
        """Whether it is exactly these bytes."""
        if self.small:
            return bool(self.sent == data.tobytes())
        import ray

        kept: NDArray[np.uint8] = ray.get(self.sent)
        return kept.nbytes == data.nbytes and same_bytes(kept, data)


_NOTHING: Final[tuple[list[_Part], ...]] = ([], [], [], [])


def _same_or_new(now: Iterable[NDArray[np.uint8]], before: list[_Part]) -> list[_Part]:
    """The parts of before that hold the same, in their places; new ones for the others."""
    found = []
    for place, data in enumerate(now):
        same = place < len(before) and before[place].holds(data)
        found.append(before[place] if same else _Part.of(data))
    return found


def _bytes_of(memory: SharedMemory) -> NDArray[np.uint8]:
    """Of a shared array's memory."""
    return np.frombuffer(memory.buffer(), np.uint8)
