"""Fails a test that hangs, and shows where every thread and every child process stood.

Actors
    pytest     writes one line to a pipe when a test begins (name and limit) and one when it ends
    sentinel   a process of its own (`guards.sentinel`), detached so that no test counts it among
               our children; it alone notices that a limit passed

One hang, time going down
    pytest                                sentinel
    test, limit       == pipe ==>         keeps the time
    prints stacks     <== signal ==       the limit passed: every process shows its stacks
    raises in the     <== signal ==       asks for it, then kills the children it saw: what waits
    main thread                           for one of them waits no longer
    end of the test   == pipe ==>         goes on with the next test

Rules
    R1  The exception is raised in the main thread, in a phase of a test whose limit has passed,
        and nowhere else: pytest looks at its own clock, so a signal that comes late, when the
        next test runs already, does nothing.
    R2  A test that passed its limit has failed, whatever it made of the exception.
    R3  What hangs again (in a `finally`, a fixture, the next finalizer) is asked again.

When that does not help
    The main thread runs no Python code (it is stuck in C), or swallows every exception: the
    sentinel kills pytest with all its children, and the run ends with the status of a killed
    process. A thread that hangs on would hold the interpreter at its exit: pytest then leaves
    without waiting for it, with the status that it has.

A limit is 60 s, or what `@pytest.mark.limit(seconds)` says; it holds for a test with its fixtures.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import pytest

__all__: list[str] = []

DEFAULT_LIMIT_S: Final = 60.0
"""Long enough for start-up of many workers on two busy cores; longer tests say so themselves."""

ANSWER_S: float = 1.0
"""How long the processes have to write their stacks, before anything is ended."""

PATIENCE_S: float = 5.0
"""How long a test has to end after it was failed: its fixtures stop what they have begun."""

STACKS_SIGNAL: Final = signal.SIGUSR2
"""Makes pytest's process print its stacks, also when no Python code of it can run."""

FAIL_SIGNAL: Final = signal.SIGXCPU
"""Raises in the main thread. By its name a limit that passed; nothing else here uses it."""

_STDERR: Final = pytest.StashKey[int]()
_WATCH: Final = pytest.StashKey["_Watch"]()


class LimitPassed(BaseException):
    """A test hangs. No `Exception`, and none of pytest's: hypothesis would try the test again."""


@dataclass
class _Running:
    """The test that runs, as R1 and R2 need to know it."""

    test: str
    limit_s: float
    deadline: float
    phase: str = ""
    """Of pytest's three; empty between them, where it would not survive an exception."""
    is_reported: bool = False

    def has_passed(self) -> bool:
        return time.monotonic() >= self.deadline

    def __str__(self) -> str:
        return f"{self.test} passed its limit of {self.limit_s:g} s"


class _Watch:
    """pytest's side."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.running: _Running | None = None
        self.session: pytest.Session | None = None
        self.has_seen_a_hang = False

    def fail(self, signum: int, frame: FrameType | None) -> None:
        """The handler of `FAIL_SIGNAL`."""
        running = self.running
        if running is None or not running.phase or not running.has_passed():
            return
        if running.phase == "call":
            raise LimitPassed(str(running))
        pytest.fail(str(running))  # what it knows: it goes on with the other finalizers

    def during(self, phase: str) -> Generator[None, object, object]:
        if self.running is None:
            return (yield)
        self.running.phase = phase
        try:
            return (yield)
        finally:
            self.running.phase = ""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): how long the test may take; 60 by default")
    if config.getoption("usepdb", default=False):
        return
    stderr = os.dup(2)  # not captured yet: later, 2 is pytest's temporary file
    os.set_inheritable(stderr, False)
    config.stash[_STDERR] = stderr
    faulthandler.register(STACKS_SIGNAL, file=stderr, all_threads=True)
    watch = config.stash[_WATCH] = _Watch(_start_sentinel(stderr))
    signal.signal(FAIL_SIGNAL, watch.fail)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    watch = config.stash.get(_WATCH, None)
    if watch is None:
        return
    if watch.has_seen_a_hang and watch.session is not None:
        _leave_without(watch.session)
    os.close(watch.pipe)  # its end of file ends the sentinel
    signal.signal(FAIL_SIGNAL, signal.SIG_DFL)
    faulthandler.unregister(STACKS_SIGNAL)
    os.close(config.stash[_STDERR])


def pytest_sessionstart(session: pytest.Session) -> None:
    if _WATCH in session.config.stash:
        session.config.stash[_WATCH].session = session


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    watch = item.config.stash.get(_WATCH, None)
    if watch is None:
        return (yield)
    marker = item.get_closest_marker("limit")
    limit_s = float(marker.args[0]) if marker else DEFAULT_LIMIT_S
    watch.running = _Running(item.nodeid, limit_s, time.monotonic() + limit_s)
    _tell(watch.pipe, {"test": item.nodeid, "limit_s": limit_s})
    try:
        return (yield)
    finally:
        _tell(watch.pipe, {})
        watch.running = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _during("setup", item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _during("call", item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _during("teardown", item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    watch = item.config.stash.get(_WATCH, None)
    running = watch.running if watch else None
    if watch is None or running is None or running.is_reported or not running.has_passed():
        return report
    running.is_reported = watch.has_seen_a_hang = True
    report.sections.append(("watchdog", f"{running}; the stacks are on standard error"))
    if not report.failed:  # it swallowed the exception, or its end was only late
        report.outcome, report.longrepr = "failed", str(running)
        vars(report).pop("wasxfail", None)  # whatever was expected, it was no hang
    return report


def _during(phase: str, item: pytest.Item) -> Generator[None, object, object]:
    watch = item.config.stash.get(_WATCH, None)
    return (yield from watch.during(phase)) if watch else (yield)


def _leave_without(session: pytest.Session) -> None:
    """End the process, if a thread of a test that hung would never let it end by itself."""
    left = [t for t in threading.enumerate() if not (t.daemon or t is threading.main_thread())]
    for thread in left:
        thread.join(1.0)
    names = [thread.name for thread in left if thread.is_alive()]
    if not names:
        return
    session.config.get_terminal_writer().flush()
    stderr = session.config.stash[_STDERR]
    os.write(stderr, f"\n++++ watchdog: pytest leaves without waiting for {names}\n".encode())
    os._exit(int(session.exitstatus))


def _start_sentinel(stderr: int) -> int:
    reader, writer = os.pipe()
    script = Path(__file__).with_name("sentinel.py")
    facts = (os.getpid(), int(STACKS_SIGNAL), int(FAIL_SIGNAL), ANSWER_S, PATIENCE_S)
    try:
        subprocess.run(
            [sys.executable, "-I", str(script), *map(str, facts)],
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
