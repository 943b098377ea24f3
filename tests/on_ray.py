"""Tests of behaviour over actors of Ray: those of tests/enqueuer and tests/resume, where asked for.

SEQLOADER_TEST_EXECUTORS=ray python -m pytest tests/enqueuer tests/resume
"""

from __future__ import annotations

import os

import pytest

__all__ = ["EXECUTORS"]

EXECUTORS = tuple(os.environ.get("SEQLOADER_TEST_EXECUTORS", "inline,thread,process").split(","))


def pytest_collection_modifyitems(items):
    if "ray" in EXECUTORS:
        for item in items:
            item.add_marker(pytest.mark.leaks_ok(reason="Ray keeps threads and processes"))


@pytest.fixture(scope="session")
def ray_cluster():
    ray = pytest.importorskip("ray", reason="the Ray executor needs Ray")
    store = {"object_store_memory": 500 << 20}
    ray.init("local", num_cpus=8, include_dashboard=False, logging_level="ERROR", **store)
    yield
    ray.shutdown()
