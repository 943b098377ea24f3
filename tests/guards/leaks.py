"""Fails a test that leaves something behind.

Compared before and after each test: child processes (and orphans that a child left), threads,
file descriptors, shared memory, signal handlers and mask. What is new gets one garbage collection
and a grace period, then the test fails with a list of it; leaked processes are killed, so that
one test's leak is not the next one's failure.

Other programs start and end processes and make shared memory meanwhile. A process is ours if it
carries the mark of this run in its environment; for memory see `guards.named_memory`.

A test that failed anyway is not failed again: its traceback may hold everything alive. What it
left is shown in its report. `@pytest.mark.leaks_ok(reason=...)` is for the rare exception.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Final

import psutil
import pytest

from guards import named_memory
from guards.holdings import (
    MARK,
    Holdings,
    describe,
    is_beside_another_run,
    is_ours,
    orphans,
    take,
)

__all__: list[str] = []

GRACE_S: Final = 2.0
"""The time within which workers must be gone, whatever ended their consumer (P9)."""

_FAILED: Final = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaks_ok(reason): what the test leaves behind, and why")
    os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def _leak_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    marker = request.node.get_closest_marker("leaks_ok")
    if marker is not None and not marker.kwargs.get("reason"):
        pytest.fail("leaks_ok wants reason=...", pytrace=False)
    before = take()
    yield
    if marker is not None:
        return
    left = take().beyond(before)
    if _is_clean(left):
        return
    left = _after_grace(before)
    if _is_clean(left):
        return
    text = "left behind:\n" + "\n".join(f"    {line}" for line in _lines(left))
    _kill(left)
    if request.node.stash.get(_FAILED, False):
        request.node.add_report_section("teardown", "leaks", text)
    else:
        pytest.fail(text, pytrace=False)


def _is_clean(left: Holdings) -> bool:
    return not (
        left.processes
        or left.threads
        or left.descriptors
        or left.mappings
        or left.named_memory
        or left.signals
        or orphans(left.pids)
    )


def _after_grace(before: Holdings) -> Holdings:
    """Let garbage be collected, and let what is about to end do so."""
    deadline = time.monotonic() + GRACE_S
    gc.collect()
    gc.collect()  # a finalizer may have dropped the last reference to the next cycle
    left = take().beyond(before)
    for process in [*left.processes, *orphans(left.pids)]:
        _wait_unreaped(process, deadline - time.monotonic())
    for thread in left.threads - _never_started(left):
        thread.join(max(0.0, deadline - time.monotonic()))
    rest_s = deadline - time.monotonic()
    named = named_memory.left_by_us(left.named_memory, rest_s, is_ours, is_beside_another_run)
    after = take().beyond(before)
    return replace(after, threads=after.threads - _never_started(left), named_memory=named)


def _never_started(left: Holdings) -> frozenset[threading.Thread]:
    """Threads that are listed and do not run: an exception that came asynchronously inside
    `Thread.start` leaves them in Python's list for ever. Either the thread was not made yet, or it
    cannot say that it has begun, since `start` was interrupted while it held the lock for that."""
    return frozenset(thread for thread in left.threads if not thread.is_alive())


def _wait_unreaped(process: psutil.Process, timeout_s: float) -> None:
    """Wait until the process ends. Its zombie stays: to reap it is what the test must have done."""
    if sys.platform != "linux":
        psutil.wait_procs([process], timeout=max(0.0, timeout_s))
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        select.select([descriptor], [], [], max(0.0, timeout_s))
    finally:
        os.close(descriptor)


def _lines(left: Holdings) -> list[str]:
    children = left.processes
    return [
        *sorted(describe(p) for p in children),
        *sorted(f"orphaned {describe(p)}" for p in orphans(left.pids) if p not in children),
        *sorted(f"thread {t.name!r}{' (daemon)' * t.daemon}" for t in left.threads),
        *sorted(left.descriptors),
        *sorted(left.mappings),
        *sorted(f"file {named_memory.FOLDER / name}" for name in left.named_memory),
        *sorted(f"signal disposition {s}" for s in left.signals),
    ]


def _kill(left: Holdings) -> None:
    processes = {*left.processes, *orphans(left.pids)}
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(processes, timeout=GRACE_S)
