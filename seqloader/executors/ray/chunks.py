"""How many batches one call of an actor computes. Pure.

A call costs the consumer some tenths of a millisecond, whatever it computes. Where batches take
hardly longer than that, several of them are computed in one call.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Chunks"]

CALL_S: Final = 0.004
"""Time that a call should take: some times as long as what it costs the consumer."""
TINY_S: Final = 0.002
"""A batch that takes longer has a call of its own."""
CHUNK_BYTES: Final = 1 << 20
"""Of the batches of one call together: they are one object of Ray's, which lives as long as
anything refers to one of them."""
WEIGHT: Final = 0.2
"""Of what was measured last, in the mean."""


class Chunks:
    """Measures batches, and says how many of them make a call."""

    def __init__(self) -> None:
        self._busy_s: float | None = None
        self._nbytes = 0.0

    def measure(self, busy_s: float, nbytes: int) -> None:
        """A batch took so long, and is so large."""
        if self._busy_s is None:
            self._busy_s, self._nbytes = busy_s, float(nbytes)
        else:
            self._busy_s += WEIGHT * (busy_s - self._busy_s)
            self._nbytes += WEIGHT * (nbytes - self._nbytes)

    def size(self, window: int, workers: int) -> int:
        """Batches in one call: one until some were measured, and never more than half of a worker's
        part of the window, so that each has another call to go on with."""
        if self._busy_s is None or self._busy_s >= TINY_S:
            return 1
        wanted = CALL_S / max(self._busy_s, 1e-6)
        if self._nbytes > 0:
            wanted = min(wanted, CHUNK_BYTES / self._nbytes)
        return max(1, min(int(wanted), window // (2 * max(1, workers))))
