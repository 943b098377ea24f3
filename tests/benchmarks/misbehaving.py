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


class Doubles:
    """Computes in the consumer, and delivers batch 2 twice."""

    order = (0, 1, 2, 2, 3)

    def __init__(self, sequence: Any, workers: int, queue: int) -> None:
        self._sequence = sequence

    def epoch(self) -> Iterator[Any]:
        for index in self.order:
            yield self._sequence[index]

    def close(self) -> None:
        pass


class Hangs(Doubles):
    """Gives three batches, starts a process that nobody knows, and blocks for ever."""

    order = (0, 1, 2)

    def epoch(self) -> Iterator[Any]:
        yield from super().epoch()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        _start_daemon()
        threading.Event().wait()


class Leaves(Doubles):
    """Delivers all, and leaves a process behind."""

    order = tuple(range(40))

    def close(self) -> None:
        _start_daemon()


def _start_daemon() -> None:
    """A process of a session of its own, whose parent has ended."""
    program = f"import os\nif os.fork() == 0:\n    os.setsid()\n    {SLEEP}"
    subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=True)
