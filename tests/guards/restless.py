"""`--restless`: every pool is resized again and again, while the tests that run know nothing of it.

What a test says of order, randomness, recovery and resume holds for any number of workers, so it
must hold for one that changes all the time. Tests that count workers, deaths or processes are about
something else, and skipped: `@pytest.mark.fixed_size`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from seqloader.executors.process.executor import ProcessExecutor
from seqloader.executors.thread import ThreadExecutor

__all__: list[str] = []

SIZES: Final = (2, 4, 1, 3)
TICKETS_BETWEEN: Final = {ProcessExecutor: 7, ThreadExecutor: 2}
"""A process takes long to start."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--restless", action="store_true", help="resize every pool all the time")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fixed_size: counts workers; skipped under --restless")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--restless"):
        for item in items:
            if item.get_closest_marker("fixed_size"):
                item.add_marker(pytest.mark.skip(reason="counts workers, and --restless was given"))


@pytest.fixture(autouse=True)
def _restless(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--restless"):
            for kind, between in TICKETS_BETWEEN.items():
                patch.setattr(kind, "submit", _resizing(kind.submit, between))
        yield


def _resizing(submit: Callable[..., None], between: int) -> Callable[..., None]:
    """`submit`, with a resize before some of the tickets: it is called where steps may be torn."""
    sizes = itertools.cycle(SIZES)
    count = itertools.count(1)

    @functools.wraps(submit)
    def call(executor: Any, ticket: Any) -> None:
        if not next(count) % between:
            executor.resize(next(sizes), getattr(executor, "_tickets_ahead", 0))
        submit(executor, ticket)

    return call
