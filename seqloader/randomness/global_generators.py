"""The process's own random generators: of `random`, of numpy, and of torch where it is imported.

Imported only by those who seed them, because `numpy.random` takes 20 ms to load. Torch is found
through `sys.modules` and never imported, and only its CPU generator is touched.
"""

from __future__ import annotations

import random
import sys
from typing import Any, NamedTuple

import numpy
import numpy.random  # not loaded by `import numpy`; a batch that loads it must find it seeded

__all__ = ["Kept", "keep", "put_back", "seed_globals"]


class Kept(NamedTuple):
    """The state of all global generators at one moment."""

    random: tuple[Any, ...]
    numpy: Any
    torch: Any
    """None where torch was not there."""


def seed_globals(entropy: bytes) -> None:
    """Seed every global generator from 32 bytes. Paid for each batch: see the design's 15 us."""
    random.seed(int.from_bytes(entropy[:16], "little"))
    # 64 bits and not the 32 of an int, which would repeat within some 100,000 batches.
    words = numpy.frombuffer(entropy, "<u4", 2, 16)
    try:
        numpy.random.seed(words)
    except TypeError:  # the user put another bit generator than MT19937 in its place
        _seed_foreign(words)
    torch = _torch_generator()
    if torch is not None:
        torch.manual_seed(int.from_bytes(entropy[24:], "little"))


def _seed_foreign(words: Any) -> None:
    mtrand: Any = numpy.random  # whose stubs leave out get_bit_generator
    foreign = type(mtrand.get_bit_generator())
    state = foreign(numpy.random.SeedSequence(words.tolist())).state
    numpy.random.set_state({**state, "has_gauss": 0, "gauss": 0.0})


def keep() -> Kept:
    """Return what `put_back` needs."""
    torch = _torch_generator()
    return Kept(
        random.getstate(),
        numpy.random.get_state(legacy=False),
        None if torch is None else torch.get_state(),
    )


def put_back(kept: Kept) -> None:
    """Bring all global generators back to where they were. May be done again, if interrupted."""
    random.setstate(kept.random)
    numpy.random.set_state(kept.numpy)
    torch = None if kept.torch is None else _torch_generator()
    if torch is not None:
        torch.set_state(kept.torch)


def _torch_generator() -> Any:
    # Another thread may be in the middle of importing torch: then its generator is not there yet.
    generator = getattr(sys.modules.get("torch"), "default_generator", None)
    return generator if hasattr(generator, "manual_seed") else None
