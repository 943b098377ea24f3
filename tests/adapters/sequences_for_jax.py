"""Sequences of the tests of JAX and TensorFlow. Workers import this file, and no framework."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from adapters.sequences_for_adapters import Counted

from seqloader import Sequence
from seqloader.testing import Gate

BLOCK_BYTES = 8192
"""What one batch of `Filled` takes: two memory pages."""


class Filled(Sequence):
    """Batch i is full of i: two arrays, one of a memory page and one far below."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {
            "large": np.full(1024, index, np.float32),
            "small": np.full(16, index, np.int32),
        }


class Held(Counted):
    """Batch 2 of the first epoch waits for a gate."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __getitem__(self, index):
        if index == 2 and not self.hooks.count("end"):
            Gate(self.folder).pass_through(index)
        return super().__getitem__(index)


class Endlessly(Counted):
    """Batch 2 never comes."""

    def __getitem__(self, index):
        if index == 2:
            time.sleep(3600)
        return super().__getitem__(index)


class Once(Counted):
    """Does something the first time that a worker computes batch 5 of 12."""

    def __init__(self, folder):
        super().__init__(12)
        self.mark = os.fspath(folder / "done")

    def __getitem__(self, index):
        if index == 5 and not os.path.exists(self.mark):
            open(self.mark, "x").close()
            self.act()
        return super().__getitem__(index)


class KillsItsWorker(Once):
    def act(self):
        os.kill(os.getpid(), signal.SIGKILL)


class InterruptsTheConsumer(Once):
    def act(self):
        os.kill(os.getppid(), signal.SIGINT)
