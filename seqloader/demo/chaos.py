"""Killing workers, to see that nobody notices."""

from __future__ import annotations

import psutil

__all__ = ["Chaos"]

KILLS = 5
SHORTEST_LULL_BATCHES = 4


class Chaos:
    """Kills a worker with SIGKILL at five moments, spread evenly; fewer in a short run.

    The moments depend on the number of batches alone, and leave time at the end for the last
    replacement. Make it before the workers start: what children this process has by then are
    not workers.

    Attributes:
        kills: how many workers it killed.
    """

    def __init__(self, total_batches: int) -> None:
        self.kills = 0
        self._total = total_batches
        self._lull = max(SHORTEST_LULL_BATCHES, total_batches // (KILLS + 1))
        self._spared = {child.pid for child in psutil.Process().children()}

    def strike(self, delivered: int) -> None:
        """Kill a worker if `delivered` batches are such a moment."""
        if delivered % self._lull or delivered + self._lull > self._total:
            return
        victim = self._longest_serving()
        if victim is not None:
            victim.kill()
            self.kills += 1

    def _longest_serving(self) -> psutil.Process | None:
        # The oldest, so that a replacement gets time to start: three deaths in a row before a
        # first batch are an error, and rightly so.
        workers = [
            child
            for child in psutil.Process().children()
            if child.pid not in self._spared and child.status() != psutil.STATUS_ZOMBIE
        ]
        return min(workers, key=lambda worker: (worker.create_time(), worker.pid), default=None)
