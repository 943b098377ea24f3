"""What is done to a trial from outside. Each says whether it could be done."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from scoreboard.journal import strike_once, worker_pids

__all__ = ["Scene", "find"]


class Scene(NamedTuple):
    """The processes of a trial, as a blow sees them."""

    folder: Path
    consumer: int
    """Leads its process group."""
    rng: random.Random

    def workers(self) -> list[int]:
        """Processes that computed a batch, and live."""
        return [pid for pid in worker_pids(self.folder) if _is_alive(pid)]


def kill_one(scene: Scene) -> bool:
    workers = scene.workers()
    return bool(workers) and _kill(scene, [scene.rng.choice(workers)])


def kill_all(scene: Scene) -> bool:
    workers = scene.workers()
    if workers:
        _kill(scene, workers)
    return bool(workers)


def kill_consumer(scene: Scene) -> bool:
    return _kill(scene, [scene.consumer])


def interrupt(scene: Scene) -> bool:
    """What a terminal does at Ctrl-C."""
    strike_once(scene.folder)
    os.killpg(scene.consumer, signal.SIGINT)
    return True


_BLOWS: Final = {blow.__name__: blow for blow in (kill_one, kill_all, kill_consumer, interrupt)}


def find(name: str) -> Callable[[Scene], bool]:
    """The blow of that name."""
    return _BLOWS[name]


def _is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _kill(scene: Scene, pids: list[int]) -> bool:
    """Whether all of them were there to be killed."""
    strike_once(scene.folder)
    missed = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            missed += 1
    return not missed
