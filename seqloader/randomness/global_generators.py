"""The process's own random generators: of `random`, of numpy, and of torch where it is imported.

Torch is found through `sys.modules` and never imported, and only its CPU generator is touched.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

from seqloader.randomness.held_generators import LEGACY, PYTHON, TORCH, Held

__all__ = ["global_generators", "reduce_global_generator", "seed_globals", "seeded_generators"]

_GLOBALS: Final = (
    ("random", "_inst", PYTHON, slice(0, 16)),
    # 64 bits and not the 32 of an int, which would repeat within some 100,000 batches.
    ("numpy.random.mtrand", "_rand", LEGACY, slice(16, 24)),
    ("torch", "default_generator", TORCH, slice(24, 32)),
)
"""Module, name and kind; and which of 32 bytes it is seeded from."""


def global_generators() -> list[Held]:
    """Those that are there: nothing is imported to ask."""
    return [
        Held(f"{module}.{name}", generator, kind)
        for module, name, kind, _ in _GLOBALS
        # Another thread may be in the middle of importing torch: its generator is not there yet.
        if (generator := getattr(sys.modules.get(module), name, None)) is not None
    ]


def seeded_generators() -> list[Held]:
    """Those that `seed_globals` seeds."""
    _load()
    return global_generators()


def seed_globals(entropy: bytes) -> None:
    """Seed every global generator from 32 bytes. Paid for each batch: some 15 us."""
    _load()
    modules = sys.modules
    for module, name, kind, part in _GLOBALS:
        generator = getattr(modules.get(module), name, None)
        if generator is not None:
            kind.seed(generator, entropy[part])


def _load() -> None:
    # `import numpy` does not load numpy.random, which takes 20 ms; so only those do who seed. A
    # batch that loads it must find it seeded. It brings `random`.
    if "numpy.random" not in sys.modules:
        importlib.import_module("numpy.random")


def reduce_global_generator(obj: Any) -> Any:
    """How to pickle `obj`, if it is one of the global generators: as the receiver's own."""
    for module, name, _, _ in _GLOBALS:
        if getattr(sys.modules.get(module), name, None) is obj:
            return _global_generator, (module, name)
    return NotImplemented


def _global_generator(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
