"""The Sequences that the enqueuer's tests run: in a module, so that workers can import them."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqloader import Sequence, batch_context


class Journal:
    """Lines from all processes, in the order they came about."""

    def __init__(self, path):
        self.path = Path(path)

    def note(self, text):
        # One write to a file opened for appending: lines never mix.
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(fd, f"{text}\n".encode())
        finally:
            os.close(fd)

    def lines(self):
        return self.path.read_text().splitlines() if self.path.exists() else []

    def count(self, start):
        return sum(line.startswith(start) for line in self.lines())


class Numbers(Sequence):
    """Batch i is an array full of i x `value`."""

    def __init__(self, length=100, value=1):
        self.length = length
        self.value = value

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return np.full((3, 2), index * self.value)


class Growing(Numbers):
    """After each epoch the value is five times as large."""

    def on_epoch_end(self):
        self.value *= 5


class Halving(Growing):
    """And the length is half of what it was, rounded up."""

    def on_epoch_end(self):
        super().on_epoch_end()
        self.length = math.ceil(self.length / 2)


class Resizing(Sequence):
    """Its epochs have the lengths given, and batches name their epoch as the state has it."""

    def __init__(self, *lengths):
        self.lengths = lengths
        self.epoch = 0

    def __len__(self):
        return self.lengths[self.epoch]

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.epoch, index

    def on_epoch_end(self):
        self.epoch += 1


class Missing(Sequence):
    """Every batch is missing."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        raise IndexError(index, "item is not present")


class Endless(Sequence):
    num_batches = None

    def __getitem__(self, index):
        return index


class Holes(Sequence):
    """Odd batches are None; or all, in the first `empty_epochs` epochs."""

    def __init__(self, length=8, empty_epochs=0):
        self.length = length
        self.empty_epochs = empty_epochs

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        empty = batch_context().epoch < self.empty_epochs
        return None if empty or index % 2 else index


class Recorded(Sequence):
    """Notes every call in a journal. A batch is (index, number of epochs ended, process id)."""

    def __init__(self, folder, length=6, uneven=False):
        self.journal = Journal(folder / "journal")
        self.length = length
        self.uneven = uneven
        self.ended = 0

    def __len__(self):
        self.journal.note("len")
        return self.length

    def __getitem__(self, index):
        epoch = batch_context().epoch
        self.journal.note(f"begin {epoch} {index}")
        if self.uneven:
            time.sleep(0.001 * (index % 3))  # the work
        self.journal.note(f"end {epoch} {index}")
        return index, self.ended, os.getpid()

    def on_epoch_begin(self):
        self.journal.note("on_epoch_begin")

    def on_epoch_end(self):
        self.journal.note("on_epoch_end")
        self.ended += 1


class Counted(Sequence):
    """Notes what it computes, and has no hook; batches are of `nbytes` bytes."""

    def __init__(self, folder, length=60, nbytes=8):
        self.journal = Journal(folder / "journal")
        self.length = length
        self.nbytes = nbytes

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.journal.note(f"begin {index}")
        return np.full(self.nbytes, index % 256, np.uint8)


class Held(Sequence):
    """Batches of the indices in `held` wait at the gate; the others are noted in its folder."""

    def __init__(self, gate, held=(0,), length=8):
        self.gate = gate
        self.held = held
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.held:
            self.gate.pass_through(index)
        else:
            (self.gate.folder / f"left-{index}").touch()
        return index


class HookFaults(Sequence):
    """Raises a fault of its own in the hook named, in the epoch named."""

    def __init__(self, where, epoch=0, length=4):
        self.where = where
        self.epoch = epoch
        self.length = length
        self.now = -1
        self.lengths_asked = 0
        self.called = []

    def __len__(self):
        if self.where == "__len__" and self.now == self.epoch:
            raise HookFault("__len__")
        return self.length

    def __getitem__(self, index):
        return index

    def on_epoch_begin(self):
        self.now += 1
        self._called("on_epoch_begin")

    def on_epoch_end(self):
        self._called("on_epoch_end")

    def _called(self, name):
        self.called.append(name)
        if self.where == name and self.now == self.epoch:
            raise HookFault(name)


class HookFault(Exception):
    pass


class Faults(Sequence):
    """Batches in `bad` raise, the first `times` times they are computed."""

    def __init__(self, folder, bad, times=10**9, length=8):
        self.journal = Journal(folder / "faults")
        self.bad = bad
        self.times = times
        self.length = length
        self.ended = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.bad:
            before = self.journal.lines().count(f"try {index}")
            self.journal.note(f"try {index}")
            if before < self.times:
                raise LookupError(f"no batch {index}")
        return index

    def on_epoch_end(self):
        self.ended += 1


class Traveller:
    """Notes each time it is rebuilt from a pickle."""

    def __init__(self, path):
        self.journal = Journal(path)
        self.value = 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.journal.note(f"rebuilt {os.getpid()}")


class Travelling(Sequence):
    def __init__(self, folder, length=12):
        self.traveller = Traveller(folder / "rebuilt")
        self.length = length
        self.epoch = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return index, self.epoch, self.traveller.value, os.getpid()


class TravellingWithHook(Travelling):
    def on_epoch_end(self):
        pass


class Owner(Sequence):
    """Batches are views of its own table; `changed` tells what hooks have done."""

    def __init__(self, length=4, width=1000):
        self.table = np.arange(length * width).reshape(length, width)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        return self.table[index]


class Scaled(Sequence):
    """No hooks: what it holds is changed from outside."""

    def __init__(self, length=12):
        self.length = length
        self.scale = 1
        self.table = np.zeros(length, np.int64)
        self.large = np.zeros(50_000)
        self.names = ["a"] * length
        self.nested = {"deep": [1, {"value": 0}]}

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return (
            self.scale,
            int(self.table[index]),
            float(self.large[-1]),
            self.names[index],
            self.nested["deep"][1]["value"],
        )


class Stateful(Scaled):
    """All it holds changes in its hooks, some in place, some rebound."""

    def on_epoch_begin(self):
        self.table += 1
        self.nested["deep"][1]["value"] += 1

    def on_epoch_end(self):
        self.scale += 1
        self.large[-1] += 1
        self.names[:] = [name + "b" for name in self.names]


class Random(Sequence):
    """Batches of random numbers, from all generators there are."""

    def __init__(self, length=10, torch=False):
        self.length = length
        self.torch = torch

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self.torch:
            import torch  # noqa: F401  (only what is imported before a batch is seeded for it)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        drawn = {
            "index": index,
            "rng": batch_context().rng.random(3).tolist(),
            "random": random.random(),
            "numpy": np.random.rand(2).tolist(),
        }
        if self.torch:
            import torch

            drawn["torch"] = torch.rand(2).tolist()
        return drawn


class RandomKilledOnce(Random):
    """The worker that first computes `victim` is killed, after it drew."""

    def __init__(self, folder, victim=4, **options):
        super().__init__(**options)
        self.marker = folder / "killed"
        self.victim = victim

    def __getitem__(self, index):
        drawn = super().__getitem__(index)
        if index == self.victim and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return drawn


class ShuffledInHooks(Sequence):
    """Shuffles its samples with the global generators, as most Keras Sequences do."""

    def __init__(self, length=6):
        self.samples = np.arange(3 * length)
        self.extra = list(range(10))

    def __len__(self):
        return len(self.samples) // 3

    def __getitem__(self, index):
        return self.samples[3 * index : 3 * index + 3].tolist(), list(self.extra)

    def on_epoch_begin(self):
        random.shuffle(self.extra)

    def on_epoch_end(self):
        np.random.shuffle(self.samples)


class LikePyDataset:
    """The attributes of a Keras PyDataset, by duck typing."""

    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self):
        self.begun = self.ended = 0

    @property
    def num_batches(self):
        return 5

    def __getitem__(self, index):
        return index, self.begun, self.ended, os.getpid()

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


class Pair(NamedTuple):
    image: object
    label: object


class Tagged(dict):
    """A dict with an attribute."""

    tag = ""


class Given(Sequence):
    """Batches are what a function of this module makes."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return len(self.make())

    def __getitem__(self, index):
        return list(self.make().values())[index]


class Once(Sequence):
    """One batch, whatever `call` returns."""

    def __init__(self, call, length=1):
        self.call = call
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.call(index)


def global_states():
    """The states of the global generators of this process, as something that compares."""
    name, keys, *rest = np.random.get_state()
    states = [random.getstate(), name, keys.tolist(), rest]
    if "torch" in sys.modules:
        states.append(sys.modules["torch"].get_rng_state().tolist())
    return states
