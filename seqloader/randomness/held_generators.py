"""The kinds of random generators that an object may hold: how each is seeded, and put back.

Where they are found, and by which place their numbers are told apart, is in generator_search.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BITS",
    "LEGACY",
    "OPAQUE",
    "PYTHON",
    "TORCH",
    "Held",
    "Kind",
    "bits_of",
    "generator_classes",
    "keep",
    "put_back",
    "set_streams",
]


class Held(NamedTuple):
    """A generator that an object holds."""

    place: str
    """See Note [A generator's place]."""
    target: Any
    """The generator."""
    kind: Kind


def set_streams(held: Iterable[Held], entropy: bytes) -> None:
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


# --- the kinds ----------------------------------------------------------------------------------


class Kind:
    """How generators of one kind are seeded, and put back."""

    def seed(self, generator: Any, entropy: bytes) -> None:
        """Bring it to the beginning of the numbers that follow from the bytes."""
        raise NotImplementedError

    def keep(self, generator: Any) -> Any:
        """What `put_back` needs."""
        raise NotImplementedError

    def put_back(self, generator: Any, kept: Any) -> None:
        """Bring it back to where it was. May be done again."""
        raise NotImplementedError

    def can_seed(self, generator: Any) -> bool:
        """Whether it has a state at all; `random.SystemRandom` and its like have none."""
        try:
            self.keep(generator)
        except NotImplementedError:
            return False
        return True


class _BitsOfNumpy(Kind):
    """Bit generators of numpy, each under one `Generator` or several."""

    def seed(self, generator: Any, entropy: bytes) -> None:
        name = type(generator).__name__
        if name in ("PCG64", "PCG64DXSM"):
            # That of `default_rng`, and ten times as fast as making another. Any 128 bits are a
            # state, and any odd number is an increment.
            state = int.from_bytes(entropy[:16], "little")
            pair = {"state": state, "inc": int.from_bytes(entropy[16:], "little") | 1}
            generator.state = {"bit_generator": name, "state": pair, "has_uint32": 0, "uinteger": 0}
        else:
            generator.state = type(generator)(int.from_bytes(entropy, "little")).state

    def keep(self, generator: Any) -> Any:
        return generator.state

    def put_back(self, generator: Any, kept: Any) -> None:
        generator.state = kept

    def can_seed(self, generator: Any) -> bool:
        try:
            generator.state = generator.state
            type(generator)(0)
        except Exception:  # one of another package's, with a constructor of its own
            return False
        return True


class _LegacyOfNumpy(Kind):
    """`RandomState`s: they keep half of a pair of normal numbers beside their bit generator."""

    def seed(self, generator: Any, entropy: bytes) -> None:
        try:
            generator.seed(np.frombuffer(entropy, "<u4"))
        except TypeError:  # over another bit generator than MT19937
            state = type(generator._bit_generator)(int.from_bytes(entropy, "little")).state
            generator.set_state({**state, "has_gauss": 0, "gauss": 0.0})

    def keep(self, generator: Any) -> Any:
        return generator.get_state(legacy=False)

    def put_back(self, generator: Any, kept: Any) -> None:
        generator.set_state(kept)


class _Python(Kind):
    """`random.Random`s."""

    def seed(self, generator: Any, entropy: bytes) -> None:
        generator.seed(int.from_bytes(entropy[:16], "little"))

    def keep(self, generator: Any) -> Any:
        return generator.getstate()

    def put_back(self, generator: Any, kept: Any) -> None:
        generator.setstate(kept)


class _Torch(Kind):
    """`torch.Generator`s."""

    def seed(self, generator: Any, entropy: bytes) -> None:
        generator.manual_seed(int.from_bytes(entropy[:8], "little"))

    def keep(self, generator: Any) -> Any:
        return generator.get_state()

    def put_back(self, generator: Any, kept: Any) -> None:
        generator.set_state(kept)


class _Opaque(Kind):
    """Objects that can be seeded, and do not show what they draw from: they are not put back."""

    def seed(self, generator: Any, entropy: bytes) -> None:
        generator.set_random_seed(int.from_bytes(entropy[:4], "little") >> 1)

    def keep(self, generator: Any) -> None:
        return None

    def put_back(self, generator: Any, kept: None) -> None:
        pass


BITS: Final = _BitsOfNumpy()
LEGACY: Final = _LegacyOfNumpy()
PYTHON: Final = _Python()
TORCH: Final = _Torch()
OPAQUE: Final = _Opaque()

_CLASSES: Final = (
    ("random", "Random", PYTHON),
    ("numpy.random", "Generator", BITS),
    ("numpy.random", "BitGenerator", BITS),
    ("numpy.random", "RandomState", LEGACY),
    ("torch", "Generator", TORCH),
)


def generator_classes() -> list[tuple[type, Kind]]:
    """The classes of generators that are imported: of others nobody can hold one."""
    found = (
        (getattr(sys.modules.get(module), name, None), kind) for module, name, kind in _CLASSES
    )
    return [(cls, kind) for cls, kind in found if isinstance(cls, type)]


def bits_of(generator: Any) -> Any:
    """What a generator of numpy stands on; of others, itself."""
    return getattr(generator, "_bit_generator", generator)
