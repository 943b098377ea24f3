"""The Sequences that are measured. Importable classes, so that every engine can send them.

Every batch is `(array, labels)`. Its labels and every element of its array that the consumer looks
at follow from its index (`expected`, or `touched` of the Sequence), which is how the consumer
checks the order, and the data, of every batch.

The check belongs to the consumer's cost, so it is one vectorised look at one element of each page.

They are duck-typed and do not import seqloader, so that no peer is measured with it loaded.
"""

from __future__ import annotations

import heapq
import importlib
import random
import time
from typing import Any

import numpy as np

Batch = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

ENDLESS = 1_000_000_000  # batches; streams are measured for a time and then left
PAGE_NBYTES = 4096
DISTINCT = 4096  # values; float32 holds each exactly, and neighbours in the order always differ


def expected(index: int) -> int:
    """The value of every array element of batch `index` that the consumer looks at."""
    return index % DISTINCT


class WrongBatch(Exception):
    """A batch came out of order, was lost or doubled, or does not hold what was computed."""


def check_batch(batch: Any, index: int, touch: bool, sequence: Any = None) -> None:
    """Raise WrongBatch unless this is batch `index`; with `touch`, read an element of each page.

    Args:
        batch: `(array, labels)`.
        index: The batch that is due.
        touch: Whether the consumer reads the array.
        sequence: Where it has `touched(index)`, that is what the array must hold there, sample by
            sample; otherwise every element must be `expected(index)`.
    """
    array, labels = batch
    first, last = labels.item(0), labels.item(-1)
    if first != index or last != index:
        raise WrongBatch(f"batch {first} came where {index} was due")
    if not touch:
        return
    step = PAGE_NBYTES // array.itemsize
    if hasattr(sequence, "touched"):
        intact = bool((array.reshape(len(array), -1)[:, ::step] == sequence.touched(index)).all())
    elif array.size <= step:
        intact = array.item(0) == expected(index)
    else:
        intact = bool((array.reshape(-1)[::step] == expected(index)).all())
    if not intact:
        raise WrongBatch(f"batch {index} does not hold what was computed")


class Workload:
    """So many batches; an endless stream is measured for a time and then left."""

    def __init__(self, length: float = ENDLESS) -> None:
        self.length = int(length)

    def __len__(self) -> int:
        return self.length


class Tiny(Workload):
    """1.3 KB: (32, 8) float32 and (32,) int64, the cost of a hand-over and nothing else."""

    def __init__(self, length: float = ENDLESS, sleep_s: float = 0.0) -> None:
        super().__init__(length)
        self.sleep_s = sleep_s

    def __getitem__(self, index: int) -> Batch:
        if self.sleep_s:
            time.sleep(self.sleep_s)
        return np.full((32, 8), expected(index), np.float32), np.full(32, index, np.int64)


class HoldsTorch(Tiny):
    """The same of a Sequence that holds something of torch's: each worker imports it."""

    def __init__(self, length: float = ENDLESS) -> None:
        super().__init__(length)
        self.device = importlib.import_module("torch").device("cpu")


class NewOrderEachEpoch(Tiny):
    """A tiny batch whose Sequence changes at every epoch: 1,000 numbers in a new order."""

    def __init__(self, length: float = ENDLESS) -> None:
        super().__init__(length)
        self.order = list(range(1000))

    def on_epoch_end(self) -> None:
        random.shuffle(self.order)


class Copied(Workload):
    """1 MB: a template is copied, and the index written into every page of the copy."""

    def __init__(self, length: float = ENDLESS) -> None:
        super().__init__(length)
        self.template = np.zeros((256, 1024), np.float32)  # a row is a page

    def __getitem__(self, index: int) -> Batch:
        array = self._copy()
        array[:, 0] = expected(index)
        return array, np.full(32, index, np.int64)

    def _copy(self) -> np.ndarray[Any, Any]:
        return self.template.copy()


class CopiedInArena(Copied):
    """The same copy, made in memory that `seqloader.empty` hands out."""

    def _copy(self) -> np.ndarray[Any, Any]:
        # Here, so that the engines that have no worker of ours need no seqloader.
        from seqloader import empty

        array: np.ndarray[Any, Any] = empty(self.template.shape, np.float32)
        np.copyto(array, self.template)
        return array


class Images(Workload):
    """(batch, 224, 224, 3) float32 by `np.full`: 38.5 MB for 64 pictures, 154 MB for 256."""

    def __init__(self, batch: float = 64, length: float = ENDLESS) -> None:
        super().__init__(length)
        self.shape = (int(batch), 224, 224, 3)

    def __getitem__(self, index: int) -> Batch:
        return self._full(expected(index)), np.full(self.shape[0], index, np.int64)

    def _full(self, value: int) -> np.ndarray[Any, Any]:
        return np.full(self.shape, value, np.float32)


class ImagesInArena(Images):
    """The same pictures, built in memory that `seqloader.empty` hands out."""

    def _full(self, value: int) -> np.ndarray[Any, Any]:
        from seqloader import empty

        images: np.ndarray[Any, Any] = empty(self.shape, np.float32)
        images.fill(value)
        return images


class HoldsArray(Workload):
    """A Sequence that holds a large array and walks all of it in `length` batches.

    A batch is what the array says at a few places of its stretch, so batches stay small and the
    memory seen is that of the array.
    """

    def __init__(self, nbytes: float, length: float = 64) -> None:
        super().__init__(length)
        self.array = self._allocate((self.length, int(nbytes) // (self.length * 4)))
        for index in range(self.length):
            self.array[index] = expected(index)

    def __getitem__(self, index: int) -> Batch:
        return self.array[index, ::1024].copy(), np.full(32, index, np.int64)

    def _allocate(self, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
        return np.empty(shape, np.float32)


class HoldsSharedArray(HoldsArray):
    """The same in `seqloader.shared_empty`, which workers map instead of receiving it."""

    def _allocate(self, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
        from seqloader import shared_empty

        return shared_empty(shape, np.float32)


class HoldsPaths(Tiny):
    """A Sequence that holds a million (path, label) tuples, as a list of files does."""

    def __init__(self, count: float = 1_000_000, length: float = 64) -> None:
        super().__init__(length)
        self.files = [
            (f"train/class_{number % 1000:04d}/image_{number:08d}.jpeg", number % 1000)
            for number in range(int(count))
        ]

    def __getitem__(self, index: int) -> Batch:
        _, label = self.files[index]
        return np.full((32, 8), expected(label), np.float32), np.full(32, index, np.int64)


class Uneven(Workload):
    """Items of 2 ms, every 16th of 40 ms: sleeps, so that 4 workers need no 4 cores."""

    SHORT_S = 0.002
    LONG_S = 0.040
    EVERY = 16

    def __init__(self, length: float = 400) -> None:
        super().__init__(length)

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


def find(name: str) -> Any:
    """The workload class of that name."""
    from harness import pictures

    return getattr(pictures, name) if hasattr(pictures, name) else globals()[name]
