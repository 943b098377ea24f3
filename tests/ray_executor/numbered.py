"""Sequences for actors: in a module that actors get by its source."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from seqloader import Sequence, batch_context


class Numbered(Sequence):
    """Batch i is (an array full of i, the actor's process id)."""

    def __init__(self, length=60, size=16, sleep_s=0.0):
        self.length = length
        self.size = size
        self.sleep_s = sleep_s

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.sleep_s:
            time.sleep(self.sleep_s)
        return np.full(self.size, index), os.getpid()


class Shuffling(Sequence):
    """Its order is drawn in `on_epoch_end`, and it writes to its own arrays while it computes."""

    def __init__(self, length=40):
        self.order = np.arange(length)
        self.seen = np.zeros(length, np.int64)
        self.rng = np.random.default_rng(5)

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        self.seen[index] += 1
        draws = batch_context().rng.random(), np.random.random(), self.rng.random()
        return np.array([self.order[index]]), draws

    def on_epoch_end(self):
        self.order = np.random.permutation(len(self.order))


class Failing(Numbered):
    """Batch `bad` does something else, `times` times in all."""

    def __init__(self, bad, act, folder, times=10**9, **options):
        super().__init__(**options)
        self.bad = bad
        self.act = act
        self.folder = Path(folder)
        self.times = times

    def __getitem__(self, index):
        if index == self.bad:
            tries = len(list(self.folder.glob("try-*")))
            (self.folder / f"try-{time.time_ns()}").touch()
            if tries < self.times:
                self.act()
        return super().__getitem__(index)

    def tries(self):
        return len(list(self.folder.glob("try-*")))


def leave():
    os._exit(3)


def hang():
    time.sleep(600)


def refuse():
    raise KeyError("bad")


class Viewing(Sequence):
    """Says what of a large array it has, and whether it may write to it."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return float(self.array[index]), self.array.flags.writeable


class Holding(Sequence):
    """Holds whatever it is given."""

    def __init__(self, held):
        self.held = held

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index
