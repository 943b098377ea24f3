"""A Sequence in the state that it has for an epoch, and the computing of its batches.

With a `seed`, the generators that the Sequence holds are set for each batch. They are looked for
when a state is taken up, and once more after its first batch, which may have made some: a
generator that `__getitem__` makes when it first needs it. Then that batch is computed again, with
the generator set, so that it does not depend on who computed first. What later batches make is not
found; they should not.

In a worker, be it a process or a thread, the first batch is watched besides: see drawn_values.py.

Without a seed, each worker process gives them streams of its own. In the consumer's own process
they are left alone, and go on in sequence.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from seqloader.randomness.drawn_orders import count_batches_seen, seeded_iterators
from seqloader.randomness.generator_search import find_generators
from seqloader.randomness.held_generators import seed_held
from seqloader.sequence.bindings import bindings, same_bindings

if TYPE_CHECKING:
    from seqloader.randomness.drawn_values import Watch
    from seqloader.randomness.held_generators import Held
    from seqloader.randomness.seeding import Seeding
    from seqloader.tickets import Ticket

__all__ = ["Computing"]


class Computing:
    """Computes batches of `sequence`, in one thread at a time.

    Args:
        seeded: Whether generators that the Sequence holds are set for each batch.
        worker: Whether this is a worker process, which has the Sequence for itself. Else it is the
            consumer's process, whose generators are put back after each batch.
        version: Of the Sequence's state, for what is noticed of it.
    """

    def __init__(
        self, sequence: Any, seeding: Seeding, *, seeded: bool, worker: bool, version: int = 0
    ) -> None:
        self.sequence = sequence
        self._seeding = seeding
        self._worker = worker
        self._bound = bindings(sequence) if not worker else None
        self.held: tuple[Held, ...] = ()
        """What is set for each batch."""
        self._iterators = seeded_iterators(sequence) if worker or seeded else []
        self._seeded = seeded
        self._version = version
        self.settled = not seeded
        """Whether the first batch is over, which may have made generators."""
        if seeded:
            self.held = find_generators(sequence)
        elif worker and (held := find_generators(sequence)):
            seed_held(held, os.urandom(32))
        self._plain = self._needs_nothing()

    def _needs_nothing(self) -> bool:
        """Whether nothing is set before a batch, and nothing put back after it, but by a worker's
        own seeding."""
        free = self._worker or not self._seeded
        return self.settled and free and not self.held and not self._iterators

    @property
    def takes_turns(self) -> bool:
        """Whether only one thread may compute at a time. Not for a first batch, which may make
        generators: batches of threads may wait for each other."""
        return bool(self.held)

    def is_of(self, sequence: Any) -> bool:
        """Whether `sequence` is the same, and none of its attributes was bound anew since."""
        return (
            sequence is self.sequence
            and self._bound is not None
            and same_bindings(self._bound, bindings(sequence))
        )

    def compute(self, ticket: Ticket, watch: Watch | None = None) -> Any:
        """Return the batch of a ticket. `watch`: of the worker that computes it."""
        if watch is None or watch.over == self._version:
            if self._plain:  # nearly all batches of nearly all Sequences
                return self._seeding.compute(self.sequence, ticket, shared=self._worker)
            batch = self._compute(ticket, self.sequence)
        else:
            asked = watch.before(self._version, self.sequence, self.held)
            batch = self._compute(ticket, asked)
            watch.after(self._version, asked)
        if not self.settled:
            batch = self._look_again(ticket, batch)
            self.settled = True
            self._plain = self._needs_nothing()
        return batch

    def _look_again(self, ticket: Ticket, batch: Any) -> Any:
        """The batch, computed again if it made generators that must be set."""
        found = find_generators(self.sequence)
        made = {id(one.target) for one in found} - {id(one.target) for one in self.held}
        self.held = found
        if made:
            batch = self._compute(ticket, self.sequence)
        return batch

    def _compute(self, ticket: Ticket, asked: Any) -> Any:
        """`asked`: the Sequence, or what stands for it while it is watched."""
        for iterator in self._iterators:
            count_batches_seen(iterator, ticket.epoch, ticket.index)
        if self._worker:
            return self._seeding.compute(asked, ticket, self.held, shared=True)
        return self._seeding.compute_aside(asked, ticket, self.held)
