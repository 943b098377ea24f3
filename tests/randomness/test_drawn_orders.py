"""Iterators that draw their order in the first `__getitem__`, as Keras' image iterators do."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from seqloader import OrderedEnqueuer, Sequence

LENGTH = 6

WAYS: dict[str, dict[str, Any]] = {
    "1": {"workers": 1},
    "2": {"workers": 2},
    "fork": {"workers": 2, "start_method": "fork"},
    "thread": {"workers": 3, "use_multiprocessing": False},
}


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


def epochs(sequence: Any, count: int = 3, **options: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the Sequence holds random generators, which its threads")
        with OrderedEnqueuer(sequence, **options) as enqueuer:
            return [list(enqueuer) for _ in range(count)]


@pytest.mark.parametrize("own_seed", [None, 5])
@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("way", WAYS)
def test_each_sample_comes_once_an_epoch(way: str, seed: int | None, own_seed: int | None) -> None:
    for batches in epochs(Iterated(own_seed), seed=seed, **WAYS[way]):
        assert sorted(one for _, samples in batches for one in samples) == list(range(2 * LENGTH))


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("way", ["1", "2", "fork"])
def test_a_worker_seeds_each_batch_as_one_process_would_its_first_one_too(
    way: str, seed: int | None
) -> None:
    expected = epochs(Iterated(5), workers=0)

    assert len({number for batches in expected for number, _ in batches}) == 3 * LENGTH
    assert epochs(Iterated(5), seed=seed, **WAYS[way]) == expected
