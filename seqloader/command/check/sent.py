"""What a Sequence holds, as it is sent to workers: how large, whether it can be, what changed."""

from __future__ import annotations

import random
import sys
import time
import types
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from seqloader.command import words
from seqloader.command.check.finding import Finding, Question, note, ok, problem
from seqloader.executors import pickle_part, pickle_state

__all__ = [
    "Change",
    "SentAttribute",
    "SentSequence",
    "changes",
    "look_at",
    "pickled",
    "unpicklable",
]

PICKLE_ADVICE = ". Workers get a pickle of the Sequence: "  # before the way out, in an error
LARGEST = 5
MANY_OBJECT_BYTES = 20_000_000
LARGE_ARRAY_BYTES = 500_000_000
MOST_VALUES = 1000
WHOLE_BYTES = 256_000_000  # of a larger array, every second byte is compared, or every third, ...
LIBRARIES = {"seqloader", "keras", "tf_keras", "tensorflow", "torch", "numpy"}  # none the user's
FIXED = (type, types.ModuleType, property, classmethod, staticmethod)


@dataclass(frozen=True)
class SentAttribute:
    """An attribute, and what it adds to what is sent."""

    name: str
    pickled: int
    arrays: int


@dataclass(frozen=True)
class SentSequence:
    """The Sequence as it is sent to workers."""

    pickled: int = 0  # bytes of Python objects: every worker makes its own of them
    arrays: int = 0  # bytes of arrays that are sent once and shared by all workers
    seconds: float = 0.0
    attributes: tuple[SentAttribute, ...] = ()  # the largest first
    problem: str = ""  # why it cannot be pickled; empty where it can
    question = Question.PICKLING

    def finding(self) -> Finding:
        if self.problem:
            what, _, way_out = self.problem.partition(PICKLE_ADVICE)
            return problem(
                what,
                "Workers are fresh processes: the Sequence travels to them as a pickle",
                f"{way_out[:1].upper()}{way_out[1:]}{' ' if way_out else ''}Everything below was "
                "tried with start_method='fork'",
            )
        nbytes = self.pickled + self.arrays
        seen = f"{words.size(nbytes)}, pickled in {words.duration(self.seconds)}"
        if nbytes >= 1000 and self.attributes:
            sizes = [(each.name, each.pickled + each.arrays) for each in self.attributes[:3]]
            told = [f"{name} {words.size(size)}" for name, size in sizes if size >= nbytes / 100]
            seen += f"; the largest: {', '.join(told)}"
        if self.pickled >= MANY_OBJECT_BYTES:
            return note(
                f"{seen}. {words.size(self.pickled)} of it are Python objects",
                "Each worker makes all these objects anew: that takes time, and memory in each",
                "Hold them as numpy arrays, which all workers share; or read them in __getitem__",
            )
        if self.arrays >= LARGE_ARRAY_BYTES:
            return note(
                f"{seen}. {words.size(self.arrays)} of it are arrays",
                "They are copied once, and all workers share that copy",
                "seqloader.shared_empty, share() or numpy.memmap, which travels as the file's "
                "name, save the copy; or open the data in __getitem__",
            )
        return ok(seen)


def pickled(sequence: Any) -> SentSequence:
    """Pickle it as for workers, and weigh its attributes."""
    begun_s = time.perf_counter()
    if why := unpicklable(sequence):
        return SentSequence(problem=why)
    seconds = time.perf_counter() - begun_s
    held = [
        SentAttribute(name, *_print_of(value)[1:3]) for name, value in _attributes(sequence).items()
    ]
    largest = sorted(held, key=lambda each: -(each.pickled + each.arrays))[:LARGEST]
    return SentSequence(*_print_of(sequence)[1:3], seconds, tuple(largest))


def unpicklable(sequence: Any) -> str:
    """Which part of it cannot be pickled, and why; empty where all can."""
    try:
        pickle_state(sequence)
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


class Change(NamedTuple):
    """A value that is not what it was. Bytes are -1 where it was not there, or not picklable."""

    name: str  # as user code names it: `self.cache`, `Waves.calls`, `data.CACHE`
    kind: str
    before: int
    after: int


class Print(NamedTuple):
    """A fingerprint of one value, pickled as it would be sent. Shared memory is not."""

    kind: str
    pickled: int = 0
    arrays: int = 0
    digest: bytes = b""  # empty where it cannot be pickled

    @property
    def nbytes(self) -> int:
        return self.pickled + self.arrays if self.digest else -1


def look_at(sequence: Any, blind_to: Iterable[object] = ()) -> dict[str, Print]:
    """The Sequence's attributes, those of its class, the globals of its module; but for parts."""
    blind = frozenset(map(id, blind_to))
    own = {f"self.{name}": value for name, value in _attributes(sequence).items()}
    found = own or {"the Sequence": sequence}
    theirs = LIBRARIES | sys.stdlib_module_names
    for cls in type(sequence).__mro__:
        module = sys.modules.get(cls.__module__)
        if module is None or cls.__module__.partition(".")[0] in theirs:
            continue
        for holder, name in ((cls, cls.__name__), (module, cls.__module__)):
            for attribute, value in [*vars(holder).items()]:
                if not (attribute.startswith("__") or isinstance(value, FIXED) or callable(value)):
                    found[f"{name}.{attribute}"] = value
    return {name: _print_of(value, blind) for name, value in [*found.items()][:MOST_VALUES]}


def changes(before: dict[str, Print], after: dict[str, Print]) -> tuple[Change, ...]:
    """What differs, by name."""
    absent = Print("NoneType", -1, digest=b"absent")
    return tuple(
        Change(name, after.get(name, absent).kind, *(each.nbytes for each in both))
        for name in sorted(before.keys() | after.keys())
        for both in [(before.get(name, absent), after.get(name, absent))]
        if both[0].digest != both[1].digest
    )


def _attributes(sequence: Any) -> dict[str, Any]:
    """Those that travel to workers; none where it is not made of attributes."""
    cls: Any = type(sequence)
    if cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ is object.__reduce__:
        try:
            state = sequence.__getstate__()
        except Exception:
            state = getattr(sequence, "__dict__", {})
        parts = [part or {} for part in (state if isinstance(state, tuple) else (state,))]
        if all(isinstance(part, dict) for part in parts):  # __dict__, slots
            return {str(name): value for part in parts for name, value in part.items()}
    return {}


def _print_of(value: Any, blind: frozenset[int] = frozenset()) -> Print:
    kind = "random generator" if isinstance(value, _generators()) else type(value).__name__
    try:
        sent = pickle_part(value, blind)
        objects = [sent.head.tobytes(), *(each.pickled() for each in sent.externals)]
    except Exception:
        return Print(kind)
    digest = blake2b(digest_size=16)
    for data in objects:
        digest.update(data)
    for buffer in sent.buffers:
        digest.update(np.ascontiguousarray(buffer[:: 1 + buffer.nbytes // WHOLE_BYTES]).data)
    arrays = sum(buffer.nbytes for buffer in sent.buffers)
    return Print(kind, sum(map(len, objects)), arrays, digest.digest())


def _generators() -> tuple[type, ...]:
    torch = sys.modules.get("torch")
    ours = (random.Random, np.random.Generator, np.random.RandomState)
    return ours if torch is None else (*ours, torch.Generator)
