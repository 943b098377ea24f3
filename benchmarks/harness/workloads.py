"""The Sequences that are measured. Importable classes, so that every engine can send them.

Every batch is `(array, labels)`. Its labels and every element of its array follow from its index
(`expected`), which is how the consumer checks the order, and the data, of every batch.

They are duck-typed and do not import seqloader, so that no peer is measured with it loaded.
"""

from __future__ import annotations

import heapq
import random
import time
from typing import Any

import numpy as np

__all__ = [
    "HoldsArray",
    "Images",
    "ImagesInArena",
    "NewOrderEachEpoch",
    "Tiny",
    "Uneven",
    "expected",
    "find",
]

Batch = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

ENDLESS = 1_000_000_000  # batches; streams are measured for a time and then left
DISTINCT = 4096  # values; float32 holds each exactly, and neighbours in the order always differ


def expected(index: int) -> int:
    """The value of every array element of batch `index`."""
    return index % DISTINCT


class Tiny:
    """1.3 KB: (32, 8) float32 and (32,) int64, the cost of a hand-over and nothing else."""

    def __init__(self, length: float = ENDLESS, sleep_s: float = 0.0) -> None:
        self.length = int(length)
        self.sleep_s = sleep_s

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        if self.sleep_s:
            time.sleep(self.sleep_s)
        return np.full((32, 8), expected(index), np.float32), np.full(32, index, np.int64)


class NewOrderEachEpoch(Tiny):
    """A tiny batch whose Sequence changes at every epoch: 1,000 numbers in a new order."""

    def __init__(self, length: float = ENDLESS) -> None:
        super().__init__(length)
        self.order = list(range(1000))

    def on_epoch_end(self) -> None:
        random.shuffle(self.order)


class Images:
    """(batch, 224, 224, 3) float32 by `np.full`: 38.5 MB for 64 pictures, 154 MB for 256."""

    def __init__(self, batch: float = 64, length: float = ENDLESS) -> None:
        self.shape = (int(batch), 224, 224, 3)
        self.length = int(length)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        images = np.full(self.shape, expected(index), np.float32)
        return images, np.full(self.shape[0], index, np.int64)


class ImagesInArena(Images):
    """The same pictures, built in memory that `seqloader.empty` hands out."""

    def __getitem__(self, index: int) -> Batch:
        # Here, so that the engines that have no worker of ours need no seqloader.
        from seqloader import empty

        images = empty(self.shape, np.float32)
        images.fill(expected(index))
        return images, np.full(self.shape[0], index, np.int64)


class HoldsArray:
    """A Sequence that holds a large array and walks all of it in `length` batches.

    A batch is what the array says at a few places of its stretch, so batches stay small and the
    memory seen is that of the array.
    """

    def __init__(self, nbytes: float, length: float = 64) -> None:
        self.length = int(length)
        rows = int(nbytes) // (self.length * 4)
        self.array = np.empty((self.length, rows), np.float32)
        for index in range(self.length):
            self.array[index] = expected(index)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return self.array[index, ::1024].copy(), np.full(32, index, np.int64)


class Uneven:
    """Items of 2 ms, every 16th of 40 ms: sleeps, so that 4 workers need no 4 cores."""

    SHORT_S = 0.002
    LONG_S = 0.040
    EVERY = 16

    def __init__(self, length: float = 400) -> None:
        self.length = int(length)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        time.sleep(self.duration_s(index))
        return np.full((32, 8), expected(index), np.float32), np.full(32, index, np.int64)

    @classmethod
    def duration_s(cls, index: int) -> float:
        return cls.LONG_S if index % cls.EVERY == cls.EVERY - 1 else cls.SHORT_S

    def work_s(self) -> float:
        """All work of an epoch; no schedule on n workers is shorter than a share of 1/n."""
        return sum(map(self.duration_s, range(self.length)))

    def ideal_s(self, workers: int, in_flight: int) -> float:
        """Time that `workers` need who take the next permitted item whenever they are free.

        Item i is permitted once item i - in_flight was delivered, in order; nothing else costs
        anything.
        """
        free_at_s = [0.0] * workers
        delivered_at_s: list[float] = []
        for index in range(self.length):
            begun_s = heapq.heappop(free_at_s)
            if index >= in_flight:
                begun_s = max(begun_s, delivered_at_s[index - in_flight])
            done_s = begun_s + self.duration_s(index)
            heapq.heappush(free_at_s, done_s)
            delivered_at_s.append(max([done_s, *delivered_at_s[-1:]]))
        return delivered_at_s[-1]


_WORKLOADS = {
    workload.__name__: workload
    for workload in (Tiny, NewOrderEachEpoch, Images, ImagesInArena, HoldsArray, Uneven)
}


def find(name: str) -> Any:
    """The workload class of that name."""
    return _WORKLOADS[name]
