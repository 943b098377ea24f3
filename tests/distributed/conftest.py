"""Processes that become ranks, and what they are to read."""

from __future__ import annotations

import pytest
from numbered_samples import EPOCHS, SEED, numbered_samples
from ranks import serving
from training_job import PROGRAM

from seqloader import OrderedEnqueuer


@pytest.fixture(scope="module")
def uninterrupted():
    """The epochs as one process reads them, without shards, workers or interruption."""
    with OrderedEnqueuer(numbered_samples(), workers=0, seed=SEED) as enqueuer:
        return [[plain(batch) for batch in enqueuer] for _ in range(EPOCHS)]


def plain(batch):
    return [list(sample) for sample in batch]


@pytest.fixture(scope="module")
def ranks():
    with serving(PROGRAM) as started:
        yield started
