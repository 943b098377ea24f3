"""Enqueuers that are stopped after the test, without hooks."""

from __future__ import annotations

import json

import pytest
from on_ray import EXECUTORS

from seqloader import OrderedEnqueuer


@pytest.fixture
def make(request):
    made, usual = [], {"workers": 0}
    if "ray" in EXECUTORS:
        request.getfixturevalue("ray_cluster")
        usual = {"executor": "ray", "workers": 1}

    def make(sequence, **options):
        chosen = usual if "start_method" not in options else {}
        enqueuer = OrderedEnqueuer(sequence, **{**chosen, "seed": 20, **options})
        made.append(enqueuer)
        return enqueuer

    yield make
    while made:
        made.pop().__exit__(AssertionError, None, None)


@pytest.fixture
def through_json():
    """A state as it comes back from a file."""
    return lambda state: json.loads(json.dumps(state))
