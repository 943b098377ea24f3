"""The Sequences that are saved and resumed: in a module, so that workers can import them."""

from __future__ import annotations

import random

import numpy as np

from seqloader import Sequence, batch_context


class Drawing(Sequence):
    """A batch names its place, and all random numbers that it can draw."""

    def __init__(self, length=7):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        context = batch_context()
        return {
            "place": (context.epoch, context.position, index),
            "own": context.rng.random(2),
            "sample": context.sample_rng(index).random(),
            "padding": context.padding,
        }


class DrawingGlobally(Drawing):
    """And from the global generators, which threads do not have to themselves."""

    def __getitem__(self, index):
        return {**super().__getitem__(index), "global": (random.random(), np.random.random())}


class Indices(Sequence):
    """Batch i is i."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return index


class Counting(Sequence):
    """Endless: batch i is i."""

    num_batches = None

    def __getitem__(self, index):
        return index


class Shuffling(Sequence):
    """Shuffles in its hook, from where it is, as most classic Sequences do. No state of its own."""

    def __init__(self, length=6):
        self.order = list(range(length))

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        return self.order[index]

    def on_epoch_end(self):
        random.shuffle(self.order)


class Saving(Shuffling):
    """The same with a state; and it changes when an epoch begins, and by hand."""

    def __init__(self, length=6):
        super().__init__(length)
        self.begun = 0
        self.difficulty = 0

    def __getitem__(self, index):
        return self.order[index], self.begun, self.difficulty

    def on_epoch_begin(self):
        self.begun += 1
        self.difficulty += random.randrange(3)

    def state_dict(self):
        return vars(self)  # what it goes on changing

    def load_state_dict(self, state):
        vars(self).update(state)
