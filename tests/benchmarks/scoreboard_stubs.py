"""Loaders that misbehave on purpose, for tests of the fault scoreboard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

SLEEP = "import time; time.sleep(600)"


class Stub:
    """Computes in the consumer."""

    def __init__(self, sequence: Any, workers: int, queue: int) -> None:
        self._sequence = sequence

    def epoch(self) -> Iterator[Any]:
        for index in range(len(self._sequence)):
            yield self._sequence[index]

    def close(self) -> None:
        pass


class Hangs(Stub):
    """Gives three batches, starts a process that nobody knows, and blocks for ever."""

    def epoch(self) -> Iterator[Any]:
        for index in range(3):
            yield self._sequence[index]
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        _start_daemon()
        threading.Event().wait()


class Leaves(Stub):
    """Delivers all, and leaves a process behind."""

    def close(self) -> None:
        _start_daemon()


class Doubles(Stub):
    """Delivers batch 2 twice."""

    def epoch(self) -> Iterator[Any]:
        for index in (0, 1, 2, 2, 3):
            yield self._sequence[index]


def _start_daemon() -> None:
    """A process of a session of its own, whose parent has ended."""
    program = f"import os\nif os.fork() == 0:\n    os.setsid()\n    {SLEEP}"
    subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=True)
