from __future__ import annotations

import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from guards.named_memory import FOLDER, LEFT_ON_PURPOSE, PURPOSE

PREAMBLE = """
    import faulthandler, gc, mmap, os, re, signal, subprocess, sys, threading, time
    import psutil
    import pytest

    KEPT = []
    LEAKED = os.environ["LEAKED"]  # what the names of files in /dev/shm start with
    SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
    ORPHANS_IT = [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEPER})"]
"""

SHORTER = """
import guards.leaks, guards.watchdog
guards.leaks.GRACE_S = 0.5
guards.watchdog.ANSWER_S = 0.3
guards.watchdog.PATIENCE_S = 2.0
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("limit") is None:
                item.add_marker(pytest.mark.limit(300))  # each starts a pytest, or several


class Guarded:
    """Runs a test module under the guards, in a process of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, body: str, *arguments: str) -> pytest.RunResult:
        return self._pytester.runpytest_subprocess(*self.arguments(body), *arguments)

    def arguments(self, body: str) -> list[str]:
        """Write the module; what pytest is started with."""
        self._pytester.makeconftest(SHORTER)
        self._pytester.makepyfile(textwrap.dedent(PREAMBLE) + textwrap.dedent(body))
        guards = ("dispositions", "watchdog", "leaks")
        return [*(f"-pguards.{name}" for name in guards), "-pno:cacheprovider"]


@pytest.fixture
def guarded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    if not Path("/proc/self/fd").exists():
        pytest.skip("what the guards see of a process is in /proc")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    leaked = FOLDER / f"{LEFT_ON_PURPOSE}{uuid.uuid4().hex}"
    monkeypatch.setenv(PURPOSE, str(leaked))
    yield Guarded(pytester)
    for path in FOLDER.glob(f"{leaked.name}*"):
        path.unlink()
