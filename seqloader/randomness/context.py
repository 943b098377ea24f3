"""What a batch may know of itself: its epoch, index and position, and its own generator.

A worker process has one current batch, seen from every thread that user code starts there.
In the consumer's process each thread has its own, since the thread executor computes several.
"""

from __future__ import annotations

import operator
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from seqloader.randomness.seeds import (
    BATCH,
    GLOBALS,
    HELD,
    HOOKS,
    PROCESS,
    SAMPLE,
    check_seed,
    derive,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator

    from seqloader.randomness.held_generators import Held
    from seqloader.tickets import Ticket

__all__ = [
    "BatchContext",
    "Seeding",
    "batch_context",
    "compute_part",
    "current_batch",
]

Result = TypeVar("Result")


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
            generator = fields.setdefault("_rng", self._make_generator())
        return generator

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

    def _make_generator(self) -> Generator:
        return self._generator(BATCH, 0 if self._ticket is None else self._ticket.index)

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


class _PerThread(threading.local):
    context: BatchContext | None = None


_per_thread: Final = _PerThread()
_per_process: BatchContext | None = None


def batch_context() -> BatchContext:
    """Return the context of the batch that is being computed here.

    Outside a batch: one whose `rng` is unseeded, and which knows no epoch, index or position, so
    that `sequence[i]` works anywhere.
    """
    return current_batch() or BatchContext()


def current_batch() -> BatchContext | None:
    """Return the context of the batch that is being computed here; None outside a batch."""
    return _per_thread.context or _per_process


def compute_part(part: Any, index: int, *, epoch: int, seed: int) -> Any:
    """Return `part[index]`, computed as a part of the current batch, in a context of its own.

    That has the epoch, index and seed given here, so that its `rng` and `sample_rng` are not the
    batch's own, and the batch's position and padding. Different parts need different seeds: two
    calls with equal epoch, index and seed see equal random numbers. The global generators go on
    as the batch left them.

    To be called inside a batch.
    """
    context = current_batch()
    assert context is not None, "there is no batch to be a part of"
    ticket = context._inside("epoch")._replace(epoch=epoch, index=index)
    # Of a batch's threads, only the first speaks for the process: others may compute parts too.
    shared = context is _per_thread.context is _per_process
    return Seeding(seed, reseed_globals=False).compute(part, ticket, shared=shared)


@dataclass(frozen=True, slots=True)
class Seeding:
    """How random numbers of one enqueuer come about; travels to the workers.

    Args:
        seed: An int >= 0 of any size.
        reseed_globals: Whether the global generators of `random`, numpy and, if imported, torch
            are seeded for each batch and each hook.
    """

    seed: int
    reseed_globals: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))

    def compute(
        self, sequence: Any, ticket: Ticket, held: Sequence[Held] = (), *, shared: bool = False
    ) -> Any:
        """Return `sequence[ticket.index]`, computed in the batch's context.

        `held`: generators that the Sequence holds, to be set for the batch. `shared`: threads
        that the batch starts or talks to see its context too; for worker processes, which compute
        one batch at a time.
        """
        global _per_process
        outer, outer_shared = _per_thread.context, _per_process
        context = BatchContext(self.seed, ticket)
        try:
            _per_thread.context = context
            if shared:
                _per_process = context
            if self.reseed_globals:
                self._seed_globals(derive(GLOBALS, self.seed, ticket.epoch, ticket.index))
            if held:
                from seqloader.randomness.held_generators import set_streams

                set_streams(held, derive(HELD, self.seed, ticket.epoch, ticket.index))
            return sequence[ticket.index]
        finally:
            _per_thread.context = outer
            if shared:
                _per_process = outer_shared

    def compute_aside(self, sequence: Any, ticket: Ticket, held: Sequence[Held] = ()) -> Any:
        """As `compute`, leaving all generators that it sets as they were."""
        if not self.reseed_globals and not held:
            return self.compute(sequence, ticket)
        return self._aside(lambda: self.compute(sequence, ticket, held), held)

    def hook(self, epoch: int, call: Callable[[], Result], *, name: str) -> Result:
        """Return `call()`, made under global generators seeded from (seed, epoch, name).

        They are put back afterwards. Without `reseed_globals` it is a plain call.
        """
        if not self.reseed_globals:
            return call()
        entropy = derive(HOOKS, self.seed, epoch, int.from_bytes(name.encode(), "little"))

        def seeded_call() -> Result:
            self._seed_globals(entropy)
            return call()

        return self._aside(seeded_call)

    def seed_process(self, slot: int) -> None:
        """Make the global generators of a new worker process its own.

        To be called once the Sequence is loaded, because loading may import torch, whose
        generator starts alike in every process.
        """
        global _per_process
        # A forked worker may have been born inside a batch of its parent.
        _per_thread.context = _per_process = None
        if self.reseed_globals:
            self._seed_globals(derive(PROCESS, self.seed, slot))
        elif "torch" in sys.modules or "numpy.random" in sys.modules:
            # Not from (seed, slot): the next process in this slot would repeat its numbers. What
            # is not imported yet seeds itself from the system, and `random` does so after a fork.
            self._seed_globals(os.urandom(32))

    def _aside(self, call: Callable[[], Result], held: Sequence[Held] = ()) -> Result:
        from seqloader.randomness import held_generators

        kept_globals = self._keep_globals()
        kept = held_generators.keep(held)
        try:
            return call()
        finally:
            try:
                self._put_back_globals(kept_globals)
                held_generators.put_back(held, kept)
            except BaseException:  # an interrupt in the middle of it
                self._put_back_globals(kept_globals)
                held_generators.put_back(held, kept)
                raise

    def _keep_globals(self) -> Any:
        if not self.reseed_globals:
            return None
        from seqloader.randomness.global_generators import keep

        return keep()

    @staticmethod
    def _put_back_globals(kept: Any) -> None:
        if kept is not None:
            from seqloader.randomness.global_generators import put_back

            put_back(kept)

    @staticmethod
    def _seed_globals(entropy: bytes) -> None:
        from seqloader.randomness.global_generators import seed_globals

        seed_globals(entropy)
