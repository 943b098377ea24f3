"""Sequences whose hooks change them, as public ones are written."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from seqloader import Sequence

LENGTH = 6
SAMPLES = 24


class Hooked(Sequence):
    """Four samples in each batch, in `self.order`; a draw of each batch's own beside them."""

    def __init__(self) -> None:
        self.order: Any = np.arange(SAMPLES)

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> Any:
        ids = [int(self.order[number]) for number in range(4 * index, 4 * index + 4)]
        return ids, random.random(), np.random.random(), self.draw()

    def draw(self) -> Any:
        return None


class NumpyShuffle(Hooked):
    def on_epoch_end(self) -> None:
        np.random.shuffle(self.order)


class OwnGenerator(Hooked):
    """The hook and the batches draw from one generator."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(3)

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)

    def draw(self) -> Any:
        return self.rng.random()


class ListShuffle(Hooked):
    def __init__(self) -> None:
        self.order = list(range(SAMPLES))

    def on_epoch_end(self) -> None:
        random.shuffle(self.order)


class OwnPythonGenerator(Hooked):
    def __init__(self) -> None:
        self.order = list(range(SAMPLES))
        self.random = random.Random(1)

    def on_epoch_begin(self) -> None:
        self.random.shuffle(self.order)

    def draw(self) -> Any:
        return self.random.random()


class Curriculum(Hooked):
    """Its length is the hook's."""

    epoch = 0

    def on_epoch_begin(self) -> None:
        self.epoch += 1

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.order)

    def __len__(self) -> int:
        return min(LENGTH, 2 + self.epoch)

    def draw(self) -> Any:
        return self.epoch


class Frame:
    """As a data frame: a sample of it is another one, and numpy's own generator draws it."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def sample(self, frac: float) -> Frame:
        drawn = np.random.mtrand._rand.permutation(len(self.rows))
        return Frame(self.rows[drawn[: int(frac * len(drawn))]])


class SampledFrame(Hooked):
    def __init__(self) -> None:
        super().__init__()
        self.frame = Frame(self.order)

    def on_epoch_end(self) -> None:
        self.frame = self.frame.sample(frac=1)
        self.order = self.frame.rows


class BeginsByDrawing(Hooked):
    """Its order is drawn when an epoch begins; half of a pair of normal numbers is left over."""

    def on_epoch_begin(self) -> None:
        self.order = np.random.permutation(SAMPLES)
        self.scale = random.gauss(0, 1) + np.random.normal()

    def draw(self) -> Any:
        return self.scale


ALL: list[type[Hooked]] = [
    NumpyShuffle,
    OwnGenerator,
    ListShuffle,
    OwnPythonGenerator,
    Curriculum,
    SampledFrame,
    BeginsByDrawing,
]
