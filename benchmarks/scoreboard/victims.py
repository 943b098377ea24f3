"""Sequences to which faults happen, in a module that workers can import.

Batch i is a pair of arrays in which every element is i.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from typing import Any

import numpy as np

from scoreboard.journal import note_worker, strike_once

VICTIM = 7
"""The index at which a fault falls that is no matter of time."""


class TornPage(Exception):
    """Its constructor wants more than what `args` holds, so plain pickle cannot rebuild it."""

    def __init__(self, page: int, shelf: str) -> None:
        super().__init__(f"page {page} is torn, on shelf {shelf}")
        self.page = page
        self.shelf = shelf


class MissingPage(Exception):
    """An ordinary one."""


class Numbered:
    """Nothing happens to it by itself."""

    def __init__(self, folder: str, length: int, nbytes: int, sleep_s: float = 0.0) -> None:
        self.folder = folder
        self.length = length
        self.nbytes = nbytes
        self.sleep_s = sleep_s
        self._consumer = os.getpid()
        self._noted = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        index = int(index)
        self._note()
        if self.sleep_s:
            time.sleep(self.sleep_s)
        count = self.nbytes // 8
        return np.full(count, index, np.int64), np.full(8, index, np.int64)

    def on_epoch_end(self) -> None:
        pass

    def _note(self) -> None:
        pid = os.getpid()
        if pid not in (self._consumer, self._noted):
            self._noted = pid
            try:
                note_worker(self.folder)
            except OSError:
                pass  # where descriptors are scarce, ours must not be the one that is missing


class Strikes(Numbered):
    """The worker that computes batch 7 gets a signal: the first time, or (None) every time."""

    def __init__(self, *, how: str, times: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.how = how
        self.times = times

    def __getitem__(self, index: int) -> Any:
        if int(index) == VICTIM:
            self._note()
            first = strike_once(self.folder)
            if first or self.times is None:
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                os.kill(os.getpid(), signal.Signals[self.how])
        return super().__getitem__(index)


class Raises(Numbered):
    """Batch 7 raises, the first time."""

    def __getitem__(self, index: int) -> Any:
        if int(index) == VICTIM and strike_once(self.folder):
            self._note()
            raise self.make_problem()
        return super().__getitem__(index)

    def make_problem(self) -> Exception:
        return TornPage(7, "north")


class BrokenHook(Numbered):
    """Its `on_epoch_end` raises."""

    def on_epoch_end(self) -> None:
        strike_once(self.folder)
        raise MissingPage("the hook found no page")


class BrokenLength(Numbered):
    """Its `__len__` raises."""

    def __len__(self) -> int:
        strike_once(self.folder)
        raise MissingPage("nobody knows how many pages there are")


def problem(batch: Any, index: int) -> str:
    """What is wrong with a batch that should be that of `index`, or nothing."""
    data, labels = batch
    data, labels = np.asarray(data), np.asarray(labels)
    if labels.size == 0 or data.size == 0:
        return f"an empty batch came where batch {index} was due"
    value = int(labels.flat[0])
    if not ((data == value).all() and (labels == value).all()):
        return f"batch {index} does not hold what was computed"
    return "" if value == index else f"batch {value} came where batch {index} was due"
