"""Killing workers, to see that nobody notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import random

__all__ = ["Chaos"]

KILLS = 5
SHORTEST_LULL_BATCHES = 4


class Chaos:
    """Kills workers with SIGKILL at a few moments; at fewer in a short run.

    The moments are counted in batches, and leave time at the end for the last replacement. Make
    it before the workers start: what children this process has by then are not workers.

    Args:
        total_batches: how many will be delivered.
        kills: how many moments, at most.
        chance: draws the moments; None: they are spread evenly, and the number of batches alone
            says where.

    Attributes:
        kills: how many workers it killed.
    """

    def __init__(
        self, total_batches: int, kills: int = KILLS, chance: random.Random | None = None
    ) -> None:
        self.kills = 0
        lull = max(SHORTEST_LULL_BATCHES, total_batches // (kills + 1))
        evenly = range(lull, total_batches - lull + 1, lull)
        if chance is None:
            self._moments = frozenset(evenly)
        else:
            early = range(max(1, total_batches - SHORTEST_LULL_BATCHES + 1))
            self._moments = frozenset(chance.sample(early, min(kills, max(1, len(evenly)))))
        self._spared = {child.pid for child in psutil.Process().children()}

    def strike(self, delivered: int) -> None:
        """Kill a worker if `delivered` batches are such a moment."""
        if delivered not in self._moments:
            return
        victim = self._longest_serving()
        if victim is not None:
            victim.kill()
            self.kills += 1

    def _longest_serving(self) -> psutil.Process | None:
        # The oldest, so that a replacement gets time to start: three deaths in a row before a
        # first batch are an error, and rightly so.
        children = psutil.Process().children()
        if any(child.name() == "raylet" for child in children):
            # The workers are Ray's children; what Ray itself consists of is none.
            children = [
                each
                for each in psutil.Process().children(recursive=True)
                if each.name().startswith("ray::BatchActor")
            ]
        workers = [
            child
            for child in children
            if child.pid not in self._spared and child.status() != psutil.STATUS_ZOMBIE
        ]
        return min(workers, key=lambda worker: (worker.create_time(), worker.pid), default=None)
