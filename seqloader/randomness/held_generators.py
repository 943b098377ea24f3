"""The random generators that an object may hold, each kind with its way to be set and put back.

Where they are found, and by which place their numbers are told apart, is in generator_search.py.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BitsOfNumpy",
    "Held",
    "LegacyOfNumpy",
    "Opaque",
    "bits_of",
    "generator_kinds",
    "keep",
    "own_generators",
    "put_back",
    "reduce_own_generator",
    "set_streams",
]


class Held:
    """A generator that an object holds.

    Attributes:
        place: see Note [A generator's place].
        label: the place, as bytes.
        target: the generator.
    """

    __slots__ = ("label", "place", "target")

    def __init__(self, place: str, target: Any) -> None:
        self.place = place
        self.target = target
        self.label = place.encode(errors="surrogatepass")

    def can_be_set(self) -> bool:
        """Whether it has a state at all; `random.SystemRandom` and its like have none."""
        try:
            self.keep()
        except NotImplementedError:
            return False
        return True

    def set_from(self, entropy: bytes) -> None:
        """Bring it to the beginning of the numbers that follow from 32 bytes."""
        raise NotImplementedError

    def keep(self) -> Any:
        """What `put_back` needs."""
        raise NotImplementedError

    def put_back(self, kept: Any) -> None:
        """Bring it back to where it was. May be done again."""
        raise NotImplementedError


def set_streams(held: Iterable[Held], entropy: bytes) -> None:
    """Give each a stream of its own that follows from 32 bytes."""
    # Imported late: it loads OpenSSL, and most Sequences hold no generator.
    from hashlib import blake2b

    for one in held:
        one.set_from(blake2b(one.label, key=entropy, digest_size=32).digest())


def keep(held: Iterable[Held]) -> list[Any]:
    """What `put_back` needs."""
    return [one.keep() for one in held]


def put_back(held: Iterable[Held], kept: Iterable[Any]) -> None:
    """Bring all back to where they were. May be done again, if interrupted."""
    for one, state in zip(held, kept, strict=True):
        one.put_back(state)


# --- the kinds ----------------------------------------------------------------------------------


class BitsOfNumpy(Held):
    """A bit generator of numpy, under one `Generator` or several."""

    def can_be_set(self) -> bool:
        try:
            self.target.state = self.target.state
            type(self.target)(0)
        except Exception:  # one of another package's, with a constructor of its own
            return False
        return True

    def set_from(self, entropy: bytes) -> None:
        bits = self.target
        name = type(bits).__name__
        if name in ("PCG64", "PCG64DXSM"):
            # That of `default_rng`, and ten times as fast as making another. Any 128 bits are a
            # state, and any odd number is an increment.
            first, second = entropy[:16], entropy[16:]
            state = int.from_bytes(first, "little"), int.from_bytes(second, "little") | 1
            pair = {"state": state[0], "inc": state[1]}
            bits.state = {"bit_generator": name, "state": pair, "has_uint32": 0, "uinteger": 0}
        else:
            bits.state = type(bits)(int.from_bytes(entropy, "little")).state

    def keep(self) -> Any:
        return self.target.state

    def put_back(self, kept: Any) -> None:
        self.target.state = kept


class LegacyOfNumpy(Held):
    """A `RandomState`: it keeps half of a pair of normal numbers beside its bit generator."""

    def set_from(self, entropy: bytes) -> None:
        try:
            self.target.seed(np.frombuffer(entropy, "<u4"))
        except TypeError:  # over another bit generator than MT19937
            state = type(self.target._bit_generator)(int.from_bytes(entropy, "little")).state
            self.target.set_state({**state, "has_gauss": 0, "gauss": 0.0})

    def keep(self) -> Any:
        return self.target.get_state(legacy=False)

    def put_back(self, kept: Any) -> None:
        self.target.set_state(kept)


class _Python(Held):
    """A `random.Random`."""

    def set_from(self, entropy: bytes) -> None:
        self.target.seed(int.from_bytes(entropy[:16], "little"))

    def keep(self) -> Any:
        return self.target.getstate()

    def put_back(self, kept: Any) -> None:
        self.target.setstate(kept)


class _Torch(Held):
    """A `torch.Generator`."""

    def set_from(self, entropy: bytes) -> None:
        self.target.manual_seed(int.from_bytes(entropy[:8], "little"))

    def keep(self) -> Any:
        return self.target.get_state()

    def put_back(self, kept: Any) -> None:
        self.target.set_state(kept)


class Opaque(Held):
    """An object that can be seeded, and does not show what it draws from: it cannot be put back."""

    def set_from(self, entropy: bytes) -> None:
        self.target.set_random_seed(int.from_bytes(entropy[:4], "little") >> 1)

    def keep(self) -> None:
        return None

    def put_back(self, kept: None) -> None:
        pass


def bits_of(generator: Any) -> Any:
    """What a generator of numpy stands on; of others, itself."""
    return getattr(generator, "_bit_generator", generator)


def generator_kinds() -> list[tuple[type, type[Held]]]:
    """Classes of generators, as far as they are imported, and what to make of one."""
    kinds: list[tuple[type, type[Held]]] = []
    for module, name, note in _KINDS:
        if isinstance(kind := getattr(sys.modules.get(module), name, None), type):
            kinds.append((kind, note))
    return kinds


_KINDS: Final = (
    ("random", "Random", _Python),
    ("numpy.random", "Generator", BitsOfNumpy),
    ("numpy.random", "BitGenerator", BitsOfNumpy),
    ("numpy.random", "RandomState", LegacyOfNumpy),
    ("torch", "Generator", _Torch),
)
"""None of them is imported to ask: where it is not imported, nobody can hold one."""


def own_generators() -> dict[tuple[str, str], Any]:
    """The process's own, by module and name."""
    names = ("random", "_inst"), ("numpy.random.mtrand", "_rand"), ("torch", "default_generator")
    found = {(module, name): getattr(sys.modules.get(module), name, None) for module, name in names}
    return {name: own for name, own in found.items() if own is not None}


def reduce_own_generator(obj: Any) -> Any:
    """How to pickle `obj`, if it is one of the process's own generators: as the receiver's own."""
    if type(obj).__name__ in ("Random", "RandomState", "Generator"):
        for (module, name), own in own_generators().items():
            if own is obj:
                return _own_generator, (module, name)
    return NotImplemented


def _own_generator(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
