"""Sequences that hold generators in all the places where one may."""

from __future__ import annotations

import functools
import random
from collections import deque
from typing import Any

import numpy as np

from seqloader import Sequence

LENGTH = 12


class Slotted:
    __slots__ = ("rng",)

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def draw(self) -> float:
        return float(self.rng.random())


class Flip:
    """As torchvision-like transforms are written."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.RandomState(seed)

    def __call__(self, value: float) -> float:
        return value + float(self.rng.normal())


class OfItsClass:
    rng = random.Random(0)

    def draw(self) -> float:
        return self.rng.random()


class Loud(random.Random):
    """A generator of the user's own class."""

    def draw(self) -> float:
        return self.gauss(0, 1)


def with_closure(seed: int) -> Any:
    rng = random.Random(seed)

    def draw() -> float:
        return rng.random()

    return draw


def with_default(rng: Any = np.random.Generator(np.random.MT19937(5))) -> float:  # noqa: B008
    return float(rng.random())


class Holder(Sequence):
    """Each batch is one number of each generator."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.legacy = np.random.RandomState(0)
        self.philox = np.random.Generator(np.random.Philox(0))
        self.loud = Loud(0)
        self.slotted = Slotted(0)
        self.transforms = [Flip(0), (Flip(0), {"deep": deque([Flip(0)])})]
        self.partial = functools.partial(Flip(0), 0.0)
        self.bound = random.Random(0).random
        self.method = Slotted(0).draw
        self.closure = with_closure(0)
        self.default = with_default
        self.of_class = OfItsClass()
        self.some = frozenset({random.Random(1), np.random.RandomState(1)})
        self.same = self.rng
        self.array = np.array([Slotted(0), None], dtype=object)
        self.half = np.random.default_rng(9)
        self.sub = np.random.default_rng(9).spawn(2)

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> list[float]:
        first, (second, deep) = self.transforms
        some = {type(one).__name__: one.random() for one in self.some}  # type: ignore[attr-defined]
        return [
            float(self.rng.random()),
            float(self.legacy.normal()),
            float(self.philox.random()),
            self.loud.draw(),
            self.slotted.draw(),
            first(0.0),
            second(0.0),
            deep["deep"][0](0.0),
            self.partial(),
            self.bound(),
            self.method(),
            self.closure(),
            self.default(),
            self.of_class.draw(),
            some["Random"],
            float(some["RandomState"]),
            float(self.same.random()),
            self.array[0].draw(),
            float(self.half.random(dtype=np.float32)),
            float(self.sub[1].random()),
        ]


class Shuffling(Holder):
    """Its hooks draw from what its batches draw from."""

    def __init__(self) -> None:
        super().__init__()
        self.order = list(range(LENGTH))

    def __getitem__(self, index: int) -> list[float]:
        return [float(self.order[index]), *super().__getitem__(index)]

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)
