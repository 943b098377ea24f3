"""Sequences that hold shared arrays: in a module, so that workers can import them."""

from __future__ import annotations

import os
import signal

import numpy as np

from seqloader import Sequence, share, shared_empty
from seqloader.memory.shared_arrays import live_memories


class Rows(Sequence):
    """Batch i is row i of an array."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        return self.array[index]


class Refilled(Rows):
    """After each epoch, the same array has other contents."""

    def on_epoch_end(self):
        self.array += 1


class Replaced(Rows):
    """After each epoch there is another array, made after the workers had started."""

    def on_epoch_end(self):
        self.array = share(np.asarray(self.array) + 1)


class WithProcess(Rows):
    """Batches say which process computed them."""

    def __getitem__(self, index):
        return self.array[index].copy(), os.getpid()


class ReplacedWithProcess(WithProcess, Replaced):
    pass


class Scribbling(Rows):
    """Batch i is row i, which is overwritten after it was taken."""

    def __getitem__(self, index):
        row = self.array[index].copy()
        self.array[index] = -1
        return row


class Dropped(Rows):
    """After the first epoch the array is an ordinary one."""

    def on_epoch_end(self):
        self.array = np.array(self.array)


class MadeInWorker(Rows):
    """Every batch is a shared array that its worker made."""

    def __getitem__(self, index):
        made = shared_empty(self.array.shape[1:], self.array.dtype)
        made[:] = self.array[index]
        return {"shared": share(made), "row": share(self.array)[index]}


class Deadly(Replaced):
    """The worker that comes first to a row kills itself there."""

    def __init__(self, array, scratch, victim):
        super().__init__(array)
        self.scratch = scratch
        self.victim = victim

    def __getitem__(self, index):
        if index == self.victim:
            try:
                (self.scratch / f"killed-{int(self.array[0, 0])}").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Counting(Replaced):
    """Notes how many shared arrays there are whenever it makes another."""

    def __init__(self, array):
        super().__init__(array)
        self.counts = []

    def on_epoch_end(self):
        self.counts.append(len(live_memories()))
        super().on_epoch_end()
