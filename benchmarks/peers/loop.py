"""No worker: the consumer computes each batch when it wants it. The yardstick of all tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peers.peer import end_epoch

__all__ = ["make_loader"]


def make_loader(sequence: Any, workers: int, queue: int) -> Loop:
    """A plain loop; there is nothing that `workers` and `queue` could mean to it."""
    return Loop(sequence)


class Loop:
    def __init__(self, sequence: Any) -> None:
        self._sequence = sequence

    def epoch(self) -> Iterator[Any]:
        for index in range(len(self._sequence)):
            yield self._sequence[index]
        end_epoch(self._sequence)

    def close(self) -> None:
        pass
