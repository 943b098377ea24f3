"""What the ranks load, in a module of its own: workers import it, and must not import torch."""

from __future__ import annotations

from seqloader import BatchedSequence, batch_context

__all__ = ["BATCHES", "EPOCHS", "SAMPLES", "SEED", "numbered_samples", "numbers"]

SAMPLES, BATCHES, EPOCHS = 163, 41, 2  # the last batch is of 3 samples
SEED = 23


def numbered_samples() -> BatchedSequence:
    """In an order drawn from (seed, epoch), as (number, draw, padding)."""
    return BatchedSequence(range(SAMPLES), 4, shuffle=True, transform=with_draw, collate=list)


def with_draw(number, rng):
    return number, int(rng.integers(1 << 62)), batch_context().padding


def numbers(batches):
    """Of the samples of batches, in turn."""
    return [number for batch in batches for number, _, _ in batch]
