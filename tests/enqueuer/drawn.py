"""Batches of random numbers, and the pools that are to deliver them alike."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from seqloader import Sequence, batch_context

__all__ = ["POOLS", "Drawn"]

POOLS: Final[dict[str, dict[str, Any]]] = {
    "spawn": {},
    "fork": {"start_method": "fork"},
    "thread": {"use_multiprocessing": False},
}


class Drawn(Sequence):
    """Batches of random numbers, which know how many epochs have ended."""

    def __init__(self, length=24):
        self.length = length
        self.ended = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return np.array([index, self.ended, batch_context().rng.integers(1 << 30)])

    def on_epoch_end(self):
        self.ended += 1
