"""Ends a test that hangs, and shows where every thread and every child process stood.

Actors
    pytest     writes one line to a pipe when a test begins (name and limit) and one when it ends
    sentinel   a process of its own (`guards.sentinel`), detached so that no test counts it among
               our children; it alone keeps the time

When a limit passes, the sentinel asks every process that can answer for the stacks of its
threads, kills them all, and the run ends with the status of a killed process. Python code in
pytest takes no part: a test stuck in C with the interpreter's lock held is ended like any other.

A limit is 60 s, or what `@pytest.mark.limit(seconds)` says; it holds for a test with its fixtures.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

__all__: list[str] = []

DEFAULT_LIMIT_S: Final = 60.0
"""Long enough for start-up of many workers on two busy cores; longer tests say so themselves."""

STACKS_SIGNAL: Final = signal.SIGUSR2
"""Makes pytest's process print its stacks, also when no Python code of it can run."""

_STDERR: Final = pytest.StashKey[int]()
_SENTINEL: Final = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): how long the test may take; 60 by default")
    if config.getoption("usepdb", default=False):
        return
    stderr = os.dup(2)  # not captured yet: later, 2 is pytest's temporary file
    os.set_inheritable(stderr, False)
    config.stash[_STDERR] = stderr
    faulthandler.register(STACKS_SIGNAL, file=stderr, all_threads=True)
    config.stash[_SENTINEL] = _start_sentinel(stderr)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SENTINEL in config.stash:
        os.close(config.stash[_SENTINEL])  # its end of file ends the sentinel
        faulthandler.unregister(STACKS_SIGNAL)
        os.close(config.stash[_STDERR])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    pipe = item.config.stash.get(_SENTINEL, None)
    if pipe is None:
        return (yield)
    marker = item.get_closest_marker("limit")
    limit_s = float(marker.args[0]) if marker else DEFAULT_LIMIT_S
    _tell(pipe, {"test": item.nodeid, "limit_s": limit_s})
    try:
        return (yield)
    finally:
        _tell(pipe, {})


def _start_sentinel(stderr: int) -> int:
    reader, writer = os.pipe()
    script = Path(__file__).with_name("sentinel.py")
    try:
        subprocess.run(
            [sys.executable, "-I", str(script), str(os.getpid()), str(int(STACKS_SIGNAL))],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            check=True,
        )
    finally:
        os.close(reader)
    return writer


def _tell(pipe: int, message: dict[str, object]) -> None:
    try:
        os.write(pipe, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:  # someone killed the sentinel: the tests are still worth running
        pass
