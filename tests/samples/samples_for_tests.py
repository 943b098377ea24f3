"""Datasets and transforms that the tests of samples send to workers."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from seqloader import BatchedSequence, Sequence, batch_context


class Numbers:
    """Sample i is the int i."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        assert type(index) is int
        assert 0 <= index < self.length
        return index


class Pictures(Numbers):
    """Samples are dicts of an image, a label and a name."""

    def __getitem__(self, index: int) -> Any:
        image = np.full((16, 16), index, np.float32)
        return {"image": image, "label": index % 10, "name": f"picture {index}"}


class AtOnce(Numbers):
    """Has torch's `__getitems__`, and no samples one by one."""

    def __getitem__(self, index: int) -> int:
        raise AssertionError("asked for one sample")

    def __getitems__(self, indices: list[int]) -> list[int]:
        assert all(type(index) is int for index in indices)
        return [10 * index for index in indices]


class Unpicklable(Numbers):
    """As an open h5py file: it knows the process that opened it, and cannot leave it."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.lock = threading.Lock()
        self.pid = os.getpid()

    def __getitem__(self, index: int) -> Any:
        assert os.getpid() == self.pid, "used in a process that did not open it"
        return index, self.pid


class Stored:
    """As an array of h5py or zarr: array-like, reads slices, and may have no len()."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.reads: list[Any] = []

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("all of it was read")

    def __getitem__(self, key: Any) -> np.ndarray:
        assert isinstance(key, slice), key
        assert type(key.start) is int
        self.reads.append((key.start, key.stop))
        return self.values[key].copy()


class Hooked(Numbers):
    """Counts its hooks, and has a state."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.calls: list[str] = []

    def on_epoch_begin(self) -> None:
        self.calls.append("begin")

    def on_epoch_end(self) -> None:
        self.calls.append("end")

    def state_dict(self) -> dict[str, Any]:
        return {"calls": list(self.calls)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = list(state["calls"])


class Contexts(Sequence):
    """Item i says in which context it is computed."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        context = batch_context()
        return {
            "epoch": context.epoch,
            "index": context.index,
            "asked": index,
            "draw": float(context.rng.random()),
        }


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True, slots=True)
class Labelled:
    image: Any
    label: Any

    def __post_init__(self) -> None:
        assert np.ndim(self.label) == 0, "made anew from a batch"


class Doubled(BatchedSequence):
    """A user's subclass that works on the batch."""

    def __getitem__(self, index: int, /) -> Any:
        return 2 * super().__getitem__(index)


def noisy(sample: Any, rng: np.random.Generator) -> tuple[int, float]:
    return int(sample), float(rng.random())


def with_pid(sample: Any, rng: np.random.Generator) -> tuple[int, int]:
    return int(sample), os.getpid()
