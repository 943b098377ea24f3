"""Sequences that tests of several adapters use. Workers import this file, and no framework."""

from __future__ import annotations

import os
import signal

import numpy as np

from seqloader import Sequence


class Plain(Sequence):
    """Without hooks: batch i is [i]."""

    def __init__(self, length=5):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return np.array([index])


class Hooked(Plain):
    """Says which hooks ran."""

    def __init__(self, length=5):
        super().__init__(length)
        self.hooks = []

    def on_epoch_begin(self):
        self.hooks.append("begin")

    def on_epoch_end(self):
        self.hooks.append("end")


class Counted(Hooked):
    """Batch i of epoch e is [i, e]."""

    def __init__(self, length=6):
        super().__init__(length)

    def __getitem__(self, index):
        return np.array([index, self.hooks.count("end")])


class Given(Sequence):
    """The batches that it was made with."""

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


class Kept(Hooked):
    """Carries along what its hooks have done."""

    def state_dict(self):
        return {"hooks": list(self.hooks)}

    def load_state_dict(self, state):
        self.hooks = list(state["hooks"])


class Endless(Plain):
    """Has no length."""

    num_batches = None
    __len__ = None


class Growing(Plain):
    """One batch more after each epoch."""

    def on_epoch_end(self):
        self.length += 1


class Broken(Plain):
    """Raises at index 2."""

    def __getitem__(self, index):
        if index == 2:
            raise KeyError("no such sample")
        return super().__getitem__(index)


class KillsItsWorkerOnce(Plain):
    """At index 3; the file `mark` says that it has been done."""

    def __init__(self, mark, length=8):
        super().__init__(length)
        self.mark = mark

    def __getitem__(self, index):
        if index == 3 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Large(Plain):
    """Batches that lie in blocks: {"x": (8, 1000) float32, "y": (8,) int64}."""

    def __getitem__(self, index):
        return {"x": np.full((8, 1000), index, "float32"), "y": np.arange(8)}
