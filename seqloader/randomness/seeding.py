"""How the random numbers of one enqueuer come about: in its batches, its hooks and its workers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from seqloader.randomness.context import BatchContext, current_batch, of_process, of_thread
from seqloader.randomness.global_generators import seed_globals, seeded_generators
from seqloader.randomness.held_generators import keep, put_back, seed_held
from seqloader.randomness.seeds import GLOBALS, HELD, HOOKS, PROCESS, check_seed, derive
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seqloader.randomness.held_generators import Held

__all__ = ["Seeding", "compute_part"]

Result = TypeVar("Result")


class Seeding:
    """How random numbers of one enqueuer come about; travels to the workers. It does not change.

    Args:
        seed: An int >= 0 of any size.
        reseed_globals: Whether the global generators of `random`, numpy and, if imported, torch
            are seeded for each batch and each hook.
    """

    # Not a dataclass: every worker would wait for `dataclasses`, and for it to write the methods.
    __slots__ = ("reseed_globals", "seed")
    seed: int
    reseed_globals: bool

    def __init__(self, seed: int, reseed_globals: bool) -> None:
        object.__setattr__(self, "seed", check_seed(seed))
        object.__setattr__(self, "reseed_globals", reseed_globals)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Seeding does not change: {name}")

    def __reduce__(self) -> Any:
        return Seeding, (self.seed, self.reseed_globals)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Seeding):
            return NotImplemented
        return self.seed == other.seed and self.reseed_globals == other.reseed_globals

    def __hash__(self) -> int:
        return hash((self.seed, self.reseed_globals))

    def compute(
        self, sequence: Any, ticket: Ticket, held: Sequence[Held] = (), *, shared: bool = False
    ) -> Any:
        """Return `sequence[ticket.index]`, computed in the batch's context.

        `held`: generators that the Sequence holds, to be set for the batch. `shared`: threads
        that the batch starts or talks to see its context too; for worker processes, which compute
        one batch at a time.
        """
        outer, outer_shared = of_thread.batch, of_process.batch
        context = BatchContext(self.seed, ticket)
        try:
            of_thread.batch = context
            if shared:
                of_process.batch = context
            if self.reseed_globals:
                seed_globals(derive(GLOBALS, self.seed, ticket.epoch, ticket.index))
            if held:
                seed_held(held, derive(HELD, self.seed, ticket.epoch, ticket.index))
            return sequence[ticket.index]
        finally:
            of_thread.batch = outer
            if shared:
                of_process.batch = outer_shared

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
            seed_globals(entropy)
            return call()

        return self._aside(seeded_call)

    def seed_process(self, slot: int) -> None:
        """Make the global generators of a new worker process its own.

        To be called once the Sequence is loaded, because loading may import torch, whose
        generator starts alike in every process.
        """
        # A forked worker may have been born inside a batch of its parent.
        of_thread.batch = of_process.batch = None
        if self.reseed_globals:
            seed_globals(derive(PROCESS, self.seed, slot))
        elif "torch" in sys.modules or "numpy.random" in sys.modules:
            # Not from (seed, slot): the next process in this slot would repeat its numbers. What
            # is not imported yet seeds itself from the system, and `random` does so after a fork.
            seed_globals(os.urandom(32))

    def _aside(self, call: Callable[[], Result], held: Sequence[Held] = ()) -> Result:
        """Return `call()`, and put back the generators that it sets."""
        generators = [*(seeded_generators() if self.reseed_globals else ()), *held]
        kept = keep(generators)
        try:
            return call()
        finally:
            try:
                put_back(generators, kept)
            except BaseException:  # an interrupt in the middle of it
                put_back(generators, kept)
                raise


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
    ticket = Ticket(epoch, context.position, index, padding=context.padding)
    # Of a batch's threads, only the first speaks for the process: others may compute parts too.
    shared = context is of_thread.batch is of_process.batch
    return Seeding(seed, reseed_globals=False).compute(part, ticket, shared=shared)
