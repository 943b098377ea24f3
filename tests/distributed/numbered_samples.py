"""What the ranks load, in a module of its own: workers import it, and must not import torch."""

from __future__ import annotations

from seqloader import BatchedSequence, batch_context

__all__ = ["SEED", "numbered_samples"]

SEED = 23


def numbered_samples(count: int, batch_size: int) -> BatchedSequence:
    """`count` samples in an order drawn from (seed, epoch), as (number, draw, padding)."""
    return BatchedSequence(
        range(count), batch_size, shuffle=True, transform=with_draw, collate=list
    )


def with_draw(number, rng):
    return number, int(rng.integers(1 << 62)), batch_context().padding
