"""What a batch may know of itself: its epoch, index and position, and its own generator.

A worker process has one current batch, seen from every thread that user code starts there.
In the consumer's process each thread has its own, since the thread executor computes several.
"""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, Any, Final

from seqloader.randomness.seeds import BATCH, SAMPLE

if TYPE_CHECKING:
    from numpy.random import Generator

    from seqloader.tickets import Ticket

__all__ = ["BatchContext", "batch_context", "current_batch", "of_process", "of_thread"]


class BatchContext:
    """The batch that is being computed. Get it from `batch_context()`.

    It goes on answering for its own batch after that has ended.
    """

    def __init__(self, seed: int | None = None, ticket: Ticket | None = None) -> None:
        self._seed = seed
        self._ticket = ticket

    @property
    def epoch(self) -> int:
        """Number of the pass, from 0. RuntimeError outside a batch."""
        return self._inside("epoch").epoch

    @property
    def index(self) -> int:
        """Which batch, in the sequence's own numbering. RuntimeError outside a batch."""
        return self._inside("index").index

    @property
    def position(self) -> int:
        """When it is delivered, in this epoch on this shard. RuntimeError outside a batch."""
        return self._inside("position").position

    @property
    def padding(self) -> bool:
        """Whether this batch only fills up its shard, with `remainder="pad"`: it is one that
        another shard delivers in this epoch as well. RuntimeError outside a batch."""
        return self._inside("padding").padding

    @property
    def seed(self) -> int:
        """The enqueuer's seed, given or drawn. RuntimeError outside a batch."""
        self._inside("seed")
        assert self._seed is not None
        return self._seed

    @property
    def rng(self) -> Generator:
        """The batch's own `numpy.random.Generator`: the same object throughout the batch.

        Its numbers depend on (seed, epoch, index) alone. Outside a batch: a new one, unseeded.
        """
        fields: dict[str, Any] = self.__dict__
        generator: Generator | None = fields.get("_rng")
        if generator is None:
            # In one step, because threads of one batch may ask at once and must get the same.
            index = 0 if self._ticket is None else self._ticket.index
            generator = fields.setdefault("_rng", self._generator(BATCH, index))
        return generator

    @property
    def has_drawn(self) -> bool:
        """Whether `rng` was asked for."""
        return "_rng" in self.__dict__

    def sample_rng(self, sample_index: int) -> Generator:
        """A new `numpy.random.Generator` for one sample, at the beginning of its numbers.

        They depend on (seed, epoch, sample_index) alone: an augmentation drawn from it does not
        change with the batch size, the order, the worker or the shard. Outside a batch: unseeded.

        Args:
            sample_index: which sample, >= 0, in a numbering that does not change.
        """
        if sample_index < 0:
            raise ValueError(f"sample_index must be at least 0, not {sample_index}")
        return self._generator(SAMPLE, operator.index(sample_index))

    def _generator(self, domain: int, which: int) -> Generator:
        # Imported late: it takes 20 ms, and many Sequences draw no random number.
        from numpy.random import PCG64, Generator, SeedSequence

        if self._ticket is None:
            return Generator(PCG64())
        key = (domain, self._ticket.epoch, which)
        return Generator(PCG64(SeedSequence(self._seed, spawn_key=key)))

    def _inside(self, name: str) -> Ticket:
        if self._ticket is None:
            raise RuntimeError(
                f"batch_context().{name} was asked for outside a batch. It is known only while an "
                "enqueuer computes one, inside __getitem__; sequence[i] called directly has no "
                "epoch or position. To compute one batch as a worker would: "
                "enqueuer.compute(index, epoch=0)"
            )
        return self._ticket

    def __repr__(self) -> str:
        if self._ticket is None:
            return "<BatchContext: outside a batch>"
        ticket = self._ticket
        return (
            f"<BatchContext: epoch {ticket.epoch}, index {ticket.index}, "
            f"position {ticket.position}>"
        )


class _OfThread(threading.local):
    batch: BatchContext | None = None


class _OfProcess:
    __slots__ = ("batch",)

    def __init__(self) -> None:
        self.batch: BatchContext | None = None


of_thread: Final = _OfThread()
"""The batch that this thread computes."""
of_process: Final = _OfProcess()
"""The batch of a worker process, for the threads that user code starts there."""


def batch_context() -> BatchContext:
    """Return the context of the batch that is being computed here.

    Outside a batch: one whose `rng` is unseeded, and which knows no epoch, index or position, so
    that `sequence[i]` works anywhere.
    """
    return current_batch() or BatchContext()


def current_batch() -> BatchContext | None:
    """Return the context of the batch that is being computed here; None outside a batch."""
    return of_thread.batch or of_process.batch
