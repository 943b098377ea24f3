"""What a process or thread uses, as `/proc` tells it."""

from __future__ import annotations

import os
import sys
import threading
import time

import numpy as np
import pytest

from seqloader.memory.usage import Usage, usage_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_work_is_told_as_seconds_of_cpu(kind):
    threads = {"process": f"/proc/{os.getpid()}", "thread": "/proc/self/task/"}
    folder = threads[kind] + (str(threading.get_native_id()) if kind == "thread" else "")
    before = usage_of(folder)
    burn(0.1)
    after = usage_of(folder)

    assert before is not None
    assert after is not None
    assert after.cpu_s - before.cpu_s >= 0.08
    assert after.cpu_waited_s >= before.cpu_waited_s


def test_memory_of_its_own_is_told():
    before = usage_of("/proc/self")
    array = np.ones(50 << 20, np.uint8)
    after = usage_of("/proc/self")

    assert before is not None
    assert after is not None
    assert after.private_bytes - before.private_bytes >= array.nbytes * 0.9


def test_of_who_has_ended_nothing_is_known():
    assert usage_of("/proc/0") is None


def test_what_a_fork_inherited_is_not_its_own():
    child, parent = Usage(1.0, 0.0, 300), Usage(9.0, 0.0, 200)

    assert child.beyond(parent) == Usage(1.0, 0.0, 100)
    assert child.beyond(None) == child
    assert parent.beyond(child).private_bytes == 0
