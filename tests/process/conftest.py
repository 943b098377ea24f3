"""What the tests of the two sides talk to: both ends of an arena, and a state file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from arena_ends import Ends
from written_modules import write_module

from seqloader.executors.process.consumer.state import StateFile

__all__ = ["write_module"]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


@pytest.fixture
def file() -> Iterator[StateFile]:
    opened = StateFile()
    yield opened
    opened.close()
