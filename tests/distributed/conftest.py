"""Processes that become ranks, and what they are to read."""

from __future__ import annotations

import pytest
from numbered_samples import EPOCHS, SAMPLES, SEED, numbered_samples, numbers
from ranks import serving
from training_job import PROGRAM

from seqloader import OrderedEnqueuer


@pytest.fixture(scope="module")
def uninterrupted():
    """The epochs as one process reads them, without shards, workers or interruption."""
    with OrderedEnqueuer(numbered_samples(), workers=0, seed=SEED) as enqueuer:
        epochs = [[plain(batch) for batch in enqueuer] for _ in range(EPOCHS)]
    assert [sorted(numbers(batches)) for batches in epochs] == [list(range(SAMPLES))] * EPOCHS
    return epochs


def plain(batch):
    return [list(sample) for sample in batch]


@pytest.fixture(scope="module")
def ranks():
    with serving(PROGRAM) as started:
        yield started
