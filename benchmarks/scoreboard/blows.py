"""What is done to a trial from outside. Each says whether it could be done."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scoreboard.journal import strike_once, worker_pids

__all__ = ["Scene", "find", "is_alive"]


@dataclass(frozen=True)
class Scene:
    """The processes of a trial, as a blow sees them."""

    folder: Path
    consumer: int
    """Leads its process group."""
    rng: random.Random

    def workers(self) -> list[int]:
        """Processes that computed a batch, and live."""
        return [pid for pid in worker_pids(self.folder) if is_alive(pid)]


def kill_one(scene: Scene) -> bool:
    workers = scene.workers()
    if not workers:
        return False
    strike_once(scene.folder)
    return _send(scene.rng.choice(workers), signal.SIGKILL)


def kill_all(scene: Scene) -> bool:
    workers = scene.workers()
    if not workers:
        return False
    strike_once(scene.folder)
    for pid in workers:
        _send(pid, signal.SIGKILL)
    return True


def kill_consumer(scene: Scene) -> bool:
    strike_once(scene.folder)
    return _send(scene.consumer, signal.SIGKILL)


def interrupt(scene: Scene) -> bool:
    """What a terminal does at Ctrl-C."""
    strike_once(scene.folder)
    os.killpg(scene.consumer, signal.SIGINT)
    return True


_BLOWS: Final = {blow.__name__: blow for blow in (kill_one, kill_all, kill_consumer, interrupt)}


def find(name: str) -> Callable[[Scene], bool]:
    """The blow of that name."""
    return _BLOWS[name]


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _send(pid: int, signum: signal.Signals) -> bool:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True
