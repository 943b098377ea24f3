"""The kinds of random generators that an object may hold: how each is seeded, and put back.

Where they are found, and by which place their numbers are told apart, is in generator_search.py.
"""

from __future__ import annotations

import sys
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "BITS",
    "LEGACY",
    "OPAQUE",
    "PYTHON",
    "TORCH",
    "GeneratorKind",
    "Held",
    "bits_of",
    "can_be_seeded",
    "generator_classes",
    "keep",
    "put_back",
    "seed_held",
]


class GeneratorKind(NamedTuple):
    """How generators of one kind are seeded, and put back."""

    seed: Callable[[Any, bytes], object]
    """Brings one to the beginning of the numbers that follow from the bytes."""
    keep: Callable[[Any], Any]
    """What `put_back` needs."""
    put_back: Callable[[Any, Any], object]
    """Brings one back to where it was. May be done again."""


class Held(NamedTuple):
    """A generator that an object holds, or the process itself."""

    place: str
    """See Note [A generator's place]; of the process's own, module and name."""
    target: Any
    """The generator."""
    kind: GeneratorKind


def seed_held(held: Iterable[Held], entropy: bytes) -> None:
    """Give each a stream of its own that follows from 32 bytes."""
    # Imported late: it loads OpenSSL, and most Sequences hold no generator.
    from hashlib import blake2b

    for place, target, kind in held:
        label = place.encode(errors="surrogatepass")
        kind.seed(target, blake2b(label, key=entropy, digest_size=32).digest())


def keep(held: Iterable[Held]) -> list[Any]:
    """What `put_back` needs."""
    return [one.kind.keep(one.target) for one in held]


def put_back(held: Iterable[Held], kept: Iterable[Any]) -> None:
    """Bring all back to where they were. May be done again, if interrupted."""
    for one, state in zip(held, kept, strict=True):
        one.kind.put_back(one.target, state)


def can_be_seeded(one: Held) -> bool:
    """Not those that have no state, as `random.SystemRandom`; nor bit generators of other packages
    that have a constructor of their own."""
    try:
        kept = one.kind.keep(one.target)
        if one.kind is BITS:
            one.kind.put_back(one.target, kept)
            type(one.target)(0)
    except Exception as error:
        if one.kind is BITS or isinstance(error, NotImplementedError):
            return False
        raise
    return True


# --- the kinds ----------------------------------------------------------------------------------


def _number(entropy: bytes) -> int:
    return int.from_bytes(entropy, "little")


def _seed_bits(bits: Any, entropy: bytes) -> None:
    name = type(bits).__name__
    if name in ("PCG64", "PCG64DXSM"):
        # That of `default_rng`, and ten times as fast as making another. Any 128 bits are a state,
        # and any odd number is an increment.
        state = {"state": _number(entropy[:16]), "inc": _number(entropy[16:]) | 1}
        bits.state = {"bit_generator": name, "state": state, "has_uint32": 0, "uinteger": 0}
    else:
        bits.state = type(bits)(_number(entropy)).state


def _seed_legacy(generator: Any, entropy: bytes) -> None:
    try:
        generator.seed(np.frombuffer(entropy, "<u4"))
    except TypeError:  # over another bit generator than MT19937
        state = type(generator._bit_generator)(_number(entropy)).state
        generator.set_state({**state, "has_gauss": 0, "gauss": 0.0})


BITS: Final = GeneratorKind(
    _seed_bits, attrgetter("state"), lambda bits, kept: setattr(bits, "state", kept)
)
"""Bit generators of numpy, each under one `Generator` or several."""

LEGACY: Final = GeneratorKind(
    _seed_legacy,
    methodcaller("get_state", legacy=False),
    lambda generator, kept: generator.set_state(kept),
)
"""`RandomState`s of numpy: they keep half of a pair of normal numbers beside a bit generator."""

PYTHON: Final = GeneratorKind(
    lambda generator, entropy: generator.seed(_number(entropy[:16])),
    methodcaller("getstate"),
    lambda generator, kept: generator.setstate(kept),
)
"""Those of `random`."""

TORCH: Final = GeneratorKind(
    lambda generator, entropy: generator.manual_seed(_number(entropy[:8])),
    methodcaller("get_state"),
    lambda generator, kept: generator.set_state(kept),
)

OPAQUE: Final = GeneratorKind(
    lambda generator, entropy: generator.set_random_seed(_number(entropy[:4]) >> 1),
    lambda generator: None,
    lambda generator, kept: None,
)
"""Objects that can be seeded, and do not show what they draw from: they cannot be put back."""

_CLASSES: Final = (
    ("random", "Random", PYTHON),
    ("numpy.random", "Generator", BITS),
    ("numpy.random", "BitGenerator", BITS),
    ("numpy.random", "RandomState", LEGACY),
    ("torch", "Generator", TORCH),
)


def generator_classes() -> list[tuple[type, GeneratorKind]]:
    """The classes of generators that are imported: of others nobody can hold one."""
    found = (
        (getattr(sys.modules.get(module), name, None), kind) for module, name, kind in _CLASSES
    )
    return [(cls, kind) for cls, kind in found if isinstance(cls, type)]


def bits_of(generator: Any) -> Any:
    """What a generator of numpy stands on; of others, itself."""
    return getattr(generator, "_bit_generator", generator)
