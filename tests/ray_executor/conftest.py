"""One Ray for all tests of a module: starting it takes seconds."""

from __future__ import annotations

import time

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


@pytest.fixture
def until():
    """until(condition): wait for what another process brings about."""

    def wait(condition):
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.01)

    return wait
