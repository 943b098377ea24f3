"""What is done to a trial from outside. Each says whether it could be done."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scoreboard.journal import strike_once, worker_pids
from scoreboard.remnants import runs


class Scene(NamedTuple):
    """The processes of a trial, as a blow sees them."""

    folder: Path
    consumer: int
    """Leads its process group."""
    rng: random.Random

    def workers(self) -> list[int]:
        """Processes that computed a batch, and live."""
        return [pid for pid in worker_pids(self.folder) if runs(pid)]


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


def _kill(scene: Scene, pids: list[int]) -> bool:
    """Whether all of them were there to be killed."""
    strike_once(scene.folder)
    killed = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed == len(pids)
