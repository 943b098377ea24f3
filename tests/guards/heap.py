"""Keeps garbage collection cheap, however long the suite has run.

Tests and the leak guard collect garbage thousands of times, and each collection walks through all
that is alive: modules, collected tests, reports. What is alive when a test module begins is set
aside there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

__all__: list[str] = []


@pytest.fixture(autouse=True, scope="module")
def _set_aside() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
