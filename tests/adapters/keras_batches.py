"""Sequences that Keras is trained on. Without Keras, which a worker need not import."""

from __future__ import annotations

import os
import signal

import numpy as np

from seqloader import Sequence

SAMPLES = 2


def batch(number, *, weights=False, as_dict=False):
    """Batch `number` as (inputs, targets[, sample weights]), each (SAMPLES, 1) float32."""
    x = np.full((SAMPLES, 1), number, "float32")
    if as_dict:
        return {"one": x, "other": x.copy()}, x.copy()
    if weights:
        return x, x.copy(), np.full((SAMPLES,), 1 + number, "float32")
    return x, x.copy()


class Plain(Sequence):
    """Batch i holds i; `at(index)` is called before batch `index` is made, which may be None."""

    def __init__(self, length=5, at=None):
        self.length, self.at = length, at

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.at is not None and self.at(index):
            return None
        return batch(index)


class Numbers(Plain):
    """Counts its epochs."""

    ends = 0

    def on_epoch_end(self):
        self.ends += 1


class KillsOnce(Plain):
    """The worker that computes batch 3 is killed, once."""

    def __init__(self, folder):
        super().__init__(8)
        self.mark = str(folder / "killed")

    def __getitem__(self, index):
        if index == 3 and not os.path.exists(self.mark):
            open(self.mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)
