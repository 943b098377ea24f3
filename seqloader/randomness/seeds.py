"""Numbers derived from a seed: a pure function of (seed, domain, and what the domain counts).

Every use of the seed has a domain of its own, so that no two of them can meet.
"""

from __future__ import annotations

from typing import Final, SupportsIndex

from seqloader.errors.integers import as_integer

__all__ = [
    "BATCH",
    "GLOBALS",
    "HASH",
    "HELD",
    "HOOKS",
    "MIX",
    "PROCESS",
    "SAMPLE",
    "SAMPLE_ORDER",
    "SHUFFLE",
    "check_seed",
    "derive",
    "hash_seed",
    "shuffle_key",
]

# Large, because `SeedSequence.spawn` counts from 0: a user's own spawns never come this far.
# Changing one changes every random number that users drew with a given seed.
BATCH: Final = 0xB47C_0001
"""`batch_context().rng`, by epoch and index."""
GLOBALS: Final = 0xB47C_0002
"""The global generators during a batch, by epoch and index."""
HOOKS: Final = 0xB47C_0003
"""The global generators during a hook, by epoch and name."""
SHUFFLE: Final = 0xB47C_0004
"""The order of batches, by epoch."""
HASH: Final = 0xB47C_0005
"""`PYTHONHASHSEED` of worker processes."""
PROCESS: Final = 0xB47C_0006
"""The global generators at the start of a worker process, by slot."""
SAMPLE: Final = 0xB47C_0007
"""`batch_context().sample_rng`, by epoch and sample."""
SAMPLE_ORDER: Final = 0xB47C_0008
"""The order of samples in a `BatchedSequence` or `ArraySequence`, by epoch."""
HELD: Final = 0xB47C_000A
"""The generators that the Sequence holds, by epoch and index; then by where in it they are."""
MIX: Final = 0xB47C_0009
"""Where a `WeightedMix` begins in its pattern, by level."""


def check_seed(seed: SupportsIndex) -> int:
    """Return `seed` as an int; raise TypeError or ValueError for anything but an int >= 0."""
    number = as_integer(seed)
    if number is None:
        raise TypeError(f"seed must be an int >= 0, not {type(seed).__name__}")
    if number < 0:
        # Not the number itself: Python refuses to print one of more than 4300 digits.
        raise ValueError("seed must be an int >= 0, not a negative one")
    return number


def derive(domain: int, seed: int, first: int = 0, second: int = 0) -> bytes:
    """Return 32 bytes that depend on all four, however large they are."""
    # Imported late: it loads OpenSSL, which a worker without a seed never needs.
    from hashlib import blake2b

    # Hexadecimal, since Python refuses to write more than 4300 decimal digits.
    return blake2b(b"%x:%x:%x:%x" % (domain, seed, first, second), digest_size=32).digest()


def shuffle_key(seed: int, epoch: int) -> int:
    """Return the key, below 2**64, of the permutation that orders an epoch."""
    return int.from_bytes(derive(SHUFFLE, seed, epoch)[:8], "little")


def hash_seed(seed: int) -> int:
    """Return the `PYTHONHASHSEED` of worker processes: 0 ... 4294967295."""
    return int.from_bytes(derive(HASH, seed)[:4], "little")
