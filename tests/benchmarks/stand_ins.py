"""A Sequence that keeps count, and loaders that misbehave on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


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
    program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)"
    subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=True)


FIRST_S = 0.05  # batch 0 is the last of its neighbours to be ready: who does not order, shows it


class Counted:
    """Keeps count, in a file that all processes share, of what was computed."""

    def __init__(self, length: int, log: Path, fails_from: int | None = None) -> None:
        self.length = length
        self.log = log
        self.fails_from = length if fails_from is None else fails_from
        self.epoch_ends = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 0:
            time.sleep(FIRST_S)
        if index >= self.fails_from:
            raise KeyError(index)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b".")
        os.close(descriptor)
        return np.full((64, 1024), index, np.float32), np.full(32, index, np.int64)

    def on_epoch_end(self) -> None:
        self.epoch_ends += 1

    def computed(self) -> int:
        return self.log.stat().st_size
