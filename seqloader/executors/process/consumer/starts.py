"""Counts workers that die before their first batch: when to give up starting new ones. Pure."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["Starts"]


class Starts:
    """Deaths before a first batch, over all slots of a pool.

    Three in a row with no batch in between mean that workers cannot work. While others do, a worker
    may well be killed three times while it starts; but not for ever.
    """

    LIMIT: ClassVar = 3
    LIMIT_DESPITE_BATCHES: ClassVar = 12

    def __init__(self) -> None:
        self._in_a_row = 0
        self._never_worked = 0

    def died(self) -> bool:
        """Note one such death, of a worker that held no ticket. True: give up."""
        self._in_a_row += 1
        self._never_worked += 1
        return self._in_a_row >= self.LIMIT or self._never_worked >= self.LIMIT_DESPITE_BATCHES

    @property
    def in_a_row(self) -> int:
        """How many there were, for messages."""
        return max(self._in_a_row, self._never_worked)

    def answered(self) -> None:
        """Some worker has answered a ticket."""
        self._in_a_row = 0

    def works(self) -> None:
        """A new worker has answered its first ticket."""
        self._in_a_row = self._never_worked = 0
