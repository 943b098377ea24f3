"""Sequences without hooks, whose coming epochs are computed: in a module, for the workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from sequences_for_tests import Journal

from seqloader import Sequence, batch_context


class Told(Sequence):
    """Notes "begin EPOCH INDEX" when it computes; a batch is all that a worker knows of it."""

    def __init__(self, folder, length=3):
        self.journal = Journal(Path(folder) / "journal")
        self.length = length
        self.value = 0
        self.table = np.zeros(3)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        context = batch_context()
        self.journal.note(f"begin {context.epoch} {index}")
        drawn = int(context.rng.integers(1 << 30))
        return context.epoch, context.position, index, self.value, float(self.table[0]), drawn


class Killed(Told):
    """One worker is killed by a batch, once."""

    def __init__(self, folder, epoch, index):
        super().__init__(folder)
        self.victim = epoch, index
        self.once = Path(folder) / "killed"

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        if batch[0:3:2] == self.victim and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


class Refuses(Told):
    """Raises in one batch of one epoch."""

    def __init__(self, folder, epoch, index):
        super().__init__(folder)
        self.victim = epoch, index

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        if batch[0:3:2] == self.victim:
            raise LookupError(f"no batch {index}")
        return batch


class Holding(Told):
    """Holds something beside."""

    def __init__(self, folder, held):
        super().__init__(folder)
        self.held = held
