"""What tests expect of the warnings about dead workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from seqloader.errors import WorkerLostWarning

__all__ = ["worker_deaths"]


@contextlib.contextmanager
def worker_deaths(match: str = "") -> Iterator[pytest.WarningsRecorder]:
    """At least one worker must be said to have died; other warnings fail as ever."""
    with pytest.warns(WorkerLostWarning, match=match) as caught:
        yield caught
