"""One Ray for all tests of a module: starting it takes seconds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="the Ray executor needs Ray")
    ray.init(
        address="local",
        num_cpus=8,
        object_store_memory=200 << 20,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
    )
    yield ray
    ray.shutdown()
