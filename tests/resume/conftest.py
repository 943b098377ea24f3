"""Enqueuers that are stopped after the test, without hooks."""

from __future__ import annotations

import json

import pytest

from seqloader import OrderedEnqueuer


@pytest.fixture
def make():
    made = []

    def make(sequence, **options):
        enqueuer = OrderedEnqueuer(sequence, **{"workers": 0, "seed": 20, **options})
        made.append(enqueuer)
        return enqueuer

    yield make
    while made:
        made.pop().__exit__(AssertionError, None, None)


@pytest.fixture
def through_json():
    """A state as it comes back from a file."""
    return lambda state: json.loads(json.dumps(state))
