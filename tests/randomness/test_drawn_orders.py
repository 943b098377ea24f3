"""Iterators that draw their order in the first `__getitem__`, as Keras' image iterators do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from runs import PROCESSES, WAYS, epochs

from seqloader import Sequence

LENGTH = 6


class Iterated(Sequence):
    """Its batch: the number that it drew, and the samples."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.total_batches_seen = 0
        self.index_array: Any = None

    def _set_index_array(self) -> None:
        self.index_array = np.random.permutation(2 * LENGTH)

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> Any:
        if self.seed is not None:
            np.random.seed(self.seed + self.total_batches_seen)
        self.total_batches_seen += 1
        if self.index_array is None:
            self._set_index_array()
        samples = self.index_array[2 * index : 2 * index + 2].tolist()
        return float(np.random.random()), samples

    def on_epoch_end(self) -> None:
        self._set_index_array()


@pytest.mark.parametrize("own_seed", [None, 5])
@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("way", WAYS)
def test_each_sample_comes_once_an_epoch(way: str, seed: int | None, own_seed: int | None) -> None:
    for batches in epochs(Iterated(own_seed), 3, seed=seed, **WAYS[way]):
        assert sorted(one for _, samples in batches for one in samples) == list(range(2 * LENGTH))


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("way", PROCESSES)
def test_a_worker_seeds_each_batch_as_one_process_would_its_first_one_too(
    way: str, seed: int | None
) -> None:
    expected = epochs(Iterated(5), 3, workers=0)

    assert len({number for batches in expected for number, _ in batches}) == 3 * LENGTH
    assert epochs(Iterated(5), 3, seed=seed, **WAYS[way]) == expected
