"""The Sequences of the conformance suite: in a module, so that worker processes can import them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.randomness.context import batch_context
from seqloader.sequence import Sequence

if TYPE_CHECKING:
    from seqloader.testing.gate import Gate

__all__ = ["ENDS", "FAULTS", "Contextual", "Drawing", "Faulty", "Holey", "Nested", "Numbered"]


class Endless(Sequence[Any]):
    """As many batches as any test asks for."""

    def __len__(self) -> int:
        return 10_000


class Numbered(Endless):
    """Batch i is an array full of `scale` x i, behind a gate if there is one."""

    def __init__(self, scale: int = 1, gate: Gate | None = None, size: int = 4) -> None:
        self.scale = scale
        self.gate = gate
        self.table = np.zeros(size, np.int64)

    def __getitem__(self, index: int, /) -> Any:
        if self.gate is not None:
            self.gate.pass_through(index)
        return self.scale * index + self.table


class TwoPartFault(Exception):
    """An exception that pickle cannot rebuild from its message alone."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"{index}: {reason}")
        self.index = index
        self.reason = reason


FAULTS: Final = (ValueError, KeyError, StopIteration, MemoryError, SystemExit, GeneratorExit)
ENDS: Final = (StopIteration, GeneratorExit)
"""Exceptions that mean "no more" to whoever iterates, and must not reach a loop as themselves."""


class Faulty(Sequence[Any]):
    """Odd batches raise: batch 2k + 1 an exception of type FAULTS[k], and then TwoPartFault."""

    def __len__(self) -> int:
        return 2 * len(FAULTS) + 2

    def __getitem__(self, index: int, /) -> Any:
        if index % 2 == 0:
            return np.full(4, index, np.int64)
        if index // 2 == len(FAULTS):
            raise TwoPartFault(index, "broken")
        raise FAULTS[index // 2](f"fault {index}")


class Holey(Endless):
    """Odd batches are None."""

    def __getitem__(self, index: int, /) -> Any:
        return None if index % 2 else np.full(4, index, np.int64)


class Nested(Endless):
    """Batches that are nests of containers, arrays of several types, and other objects."""

    def __getitem__(self, index: int, /) -> Any:
        return {
            "image": np.full((2, index + 1), index, np.float32),
            "label": (np.arange(index), [np.array(index), "text", None]),
        }


class Contextual(Endless):
    """Batches made of what `batch_context()` says."""

    def __getitem__(self, index: int, /) -> Any:
        context = batch_context()
        place = (context.epoch, context.position, context.index)
        return place, context.rng.bit_generator.random_raw(4)


class Drawing(Endless):
    """Batches drawn from a generator that the Sequence holds."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index: int, /) -> Any:
        return self.rng.integers(1 << 62, size=4)
