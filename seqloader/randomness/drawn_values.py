"""Values that `__getitem__` draws when it is first called, and keeps: each worker has its own.

Processes have one each. Threads share the Sequence, but those that find nothing there at the same
time draw one each as well, of which the last stays, and batches were made of the others.

A worker watches its first batch of a state. If a random generator moves during that call, what
becomes data meanwhile (an attribute of the Sequence, or of an object that one of its attributes is
bound to) may have been drawn, and so may what changes in place, where it is small; or it was
loaded, and something else drew. Where only the batch's own generator is asked for, which is how
augmentation should draw, what looks like an order counts alone. One worker alone cannot
tell. So it reports the attribute's name and a digest of the value, and does so again if its second
batch finds the value unchanged: then it is kept, and no mere trace of the last batch. The consumer
warns where two workers have different values under one name, and one is known to keep its own.

Pure, but for the state of the generators that it looks at.
"""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any, Final, NamedTuple

import numpy as np

from seqloader.randomness.context import current_batch
from seqloader.randomness.global_generators import global_generators
from seqloader.randomness.held_generators import Held, keep
from seqloader.sequence.bindings import bindings

__all__ = ["Disagreements", "Noticed", "Watch", "Watched"]


class Noticed(NamedTuple):
    """What a worker reports of a value that its first batch may have drawn."""

    version: int
    """Of the Sequence's state."""
    name: str
    """Of the attribute, as `order` or `inner.order`."""
    digest: bytes
    kept: bool
    """Whether a second batch found it unchanged."""


class Watched:
    """A Sequence whose next batch is watched. It is to be asked for one."""

    def __init__(self, sequence: Any, held: tuple[Held, ...]) -> None:
        self._sequence = sequence
        self._held = held
        self.drawn: dict[str, tuple[Any, bytes]] = {}
        """By name, the values that may have been drawn, with their digests."""

    def __getitem__(self, index: int) -> Any:
        before, states = _data_of(self._sequence), _states(self._held)
        marks = {name: _digest(value) for name, value in before.items() if _is_small(value)}
        batch = self._sequence[index]
        changed = {
            name: value
            for name, value in _data_of(self._sequence).items()
            if value is not before.get(name) or (name in marks and _digest(value) != marks[name])
        }
        if changed and not self._others_moved(states):
            drawn = _has_own_generator()
            changed = {name: value for name, value in changed.items() if drawn and _is_order(value)}
        if changed:
            pairs = {name: (value, _digest(value)) for name, value in changed.items()}
            self.drawn = {name: pair for name, pair in pairs.items() if pair[1]}
        return batch

    def _others_moved(self, before: list[Any]) -> bool:
        """Whether a generator that is not the batch's own has moved. One that was imported
        meanwhile has: something wanted it, unless that was the batch's own."""
        now = _states(self._held)
        if len(now) != len(before):
            return not _has_own_generator()
        return not all(map(_alike, before, now))

    def kept(self) -> dict[str, tuple[Any, bytes]]:
        """Those of them that stand where they stood, unchanged."""
        now = _data_of(self._sequence)
        return {
            name: (value, digest)
            for name, (value, digest) in self.drawn.items()
            if now.get(name) is value and _digest(value) == digest
        }


class Watch:
    """What one worker, a process or a thread, notices in its first two batches of each state.

    Attributes:
        noticed: what the consumer is to be told; to be taken out by who tells it.
        over: version of the last state of which there is no more to be noticed.
    """

    def __init__(self) -> None:
        self.noticed: list[Noticed] = []
        self.over = -1
        self._version = 0
        """Of the last state of which a batch was watched."""
        self._watched: Watched | None = None
        """Until a second batch has shown whether what the first may have drawn is kept."""

    def before(self, version: int, sequence: Any, held: tuple[Held, ...]) -> Any:
        """What to ask for a batch: the Sequence, or what watches it."""
        return sequence if version == self._version else Watched(sequence, held)

    def after(self, version: int, asked: Any) -> None:
        """It has answered."""
        if version != self._version:
            self._version, self._watched = version, asked
            self._note(asked.drawn, kept=False)
            if asked.drawn:
                return
        elif self._watched is not None:
            self._note(self._watched.kept(), kept=True)
        self._watched = None
        self.over = version

    def forget(self) -> None:
        """Drop the state."""
        self._watched = None

    def _note(self, drawn: dict[str, tuple[Any, bytes]], *, kept: bool) -> None:
        self.noticed += [
            Noticed(self._version, name, digest, kept) for name, (_, digest) in drawn.items()
        ]


class Disagreements:
    """What the workers of one start have reported."""

    def __init__(self) -> None:
        self._version = 0
        self._digests: dict[str, dict[bytes, bool]] = {}
        self._warned_of: set[str] = set()

    def take(self, noticed: Noticed) -> bool:
        """Whether this is the first sign that two workers have drawn different values."""
        if noticed.version != self._version:
            self._version = noticed.version
            self._digests.clear()
        known = self._digests.setdefault(noticed.name, {})
        known[noticed.digest] = known.get(noticed.digest, False) or noticed.kept
        if len(known) == 1 or noticed.name in self._warned_of or not any(known.values()):
            return False
        self._warned_of.add(noticed.name)
        return True

    def forget(self) -> None:
        """The workers are gone, and others count versions anew. No name is warned of twice."""
        self._digests.clear()


_DATA: Final = (
    np.ndarray, list, tuple, dict, set, frozenset, deque, range, bytes, bytearray,
)  # fmt: skip
_DATA_PACKAGES: Final = {"array", "torch", "pandas", "jaxlib", "tensorflow", "polars", "pyarrow"}
"""Whose objects with a length hold data."""
_MOST: Final = 10_000
"""Elements that a digest looks at."""
_MOST_BYTES: Final = 100 * _MOST


def _data_of(sequence: Any) -> dict[str, Any]:
    """Name -> value, of attributes that are bound to something that holds data."""
    found: dict[str, Any] = {}
    for name, value in bindings(sequence).items():
        if _is_data(value):
            found[name] = value
        elif hasattr(type(value), "__dict__") and not isinstance(value, type):
            inner = getattr(value, "__dict__", None)
            if type(inner) is dict:
                found.update((f"{name}.{n}", v) for n, v in list(inner.items()) if _is_data(v))
    return found


def _is_data(value: Any) -> bool:
    if isinstance(value, _DATA):
        return value.size > 0 if isinstance(value, np.ndarray) else bool(value)
    kind = type(value)
    return kind.__module__.partition(".")[0] in _DATA_PACKAGES and hasattr(kind, "__len__")


def _is_small(value: Any) -> bool:
    """Whether it costs next to nothing to look whether an order in it was shuffled in place."""
    if type(value) is np.ndarray:
        return value.nbytes <= _MOST_BYTES and not value.dtype.hasobject
    return type(value) is list and len(value) <= _MOST and type(value[0]) in (int, str)


def _is_order(value: Any) -> bool:
    """Whether it is a row of distinct integers."""
    if isinstance(value, (list, tuple)):
        return all(type(one) is int for one in value) and len(set(value)) == len(value) > 1
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
        return False
    return 1 < len(value) == len(np.unique(value))


def _has_own_generator() -> bool:
    """Whether the batch that is being computed here has asked for `batch_context().rng`."""
    batch = current_batch()
    return batch is not None and batch.has_drawn


def _digest(value: Any) -> bytes:
    """Equal for equal values; empty where that cannot be had."""
    from hashlib import blake2b

    try:
        if type(value) is np.ndarray and not value.dtype.hasobject:
            step = max(1, value.nbytes // _MOST_BYTES)
            content = value.reshape(-1)[::step].tobytes()
            kind = f"{value.shape} {value.dtype}".encode()
        else:
            if isinstance(value, (set, frozenset)):
                value = sorted(map(repr, value))
            if isinstance(value, (list, tuple)):
                value = value[:_MOST]
            content, kind = pickle.dumps(value, 5), b""
    except Exception:
        return b""
    return blake2b(kind + content, digest_size=16).digest()


def _states(held: tuple[Held, ...]) -> list[Any]:
    """Of the process's own generators and of those held."""
    return keep([*global_generators(), *held])


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return bool((one == other).all())
    return bool(one == other)
