"""A Sequence that keeps count, in a file that all processes share, of what was computed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

__all__ = ["Counted"]

FIRST_S = 0.05  # batch 0 is the last of its neighbours to be ready: who does not order, shows it


class Counted:
    def __init__(self, length: int, log: Path, fails_from: int | None = None) -> None:
        self.length = length
        self.log = log
        self.fails_from = length if fails_from is None else fails_from
        self.epoch_ends = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 0:
            time.sleep(FIRST_S)
        if index >= self.fails_from:
            raise KeyError(index)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b".")
        os.close(descriptor)
        return np.full((64, 1024), index, np.float32), np.full(32, index, np.int64)

    def on_epoch_end(self) -> None:
        self.epoch_ends += 1

    def computed(self) -> int:
        return self.log.stat().st_size
