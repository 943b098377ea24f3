"""The window: tickets issued and not yet delivered.

Pure: it counts positions and keeps what arrived for them. It knows no executor, clock or batch.

    due <= position < next    issued; `arrived` holds those that are answered
    position < due            handed over
    position >= next          not issued yet
    position in skips         never issued; or issued before that was known, then its answer counts
                              as ahead until it comes, and is refused

Rules
    R1  At most `limit` positions are issued ahead of the consumer: beside the one it has, and,
        while it waits for one (`wanted`), beside that.
    R2  With a byte limit, no position is issued while those ahead, each counted as the largest
        batch seen this epoch, would exceed it. Before any size is known one goes alone.
    R3  The position due next may always be issued; only skipped ones that are being computed, if
        there are more of them than the limit, must be answered first.
    R4  A position is answered once: a second answer is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from seqloader.order.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Window"]

Answer = TypeVar("Answer")


class Window(Generic[Answer]):
    """Positions `due` to `end` of one epoch; `end` None means endless."""

    __slots__ = (
        "_byte_limit",
        "_limit",
        "_most",
        "_skips",
        "_unwanted",
        "ahead",
        "arrived",
        "due",
        "end",
        "largest_bytes",
        "next",
        "wanted",
    )

    def __init__(
        self,
        *,
        limit: int,
        byte_limit: int | None = None,
        end: int | None,
        due: int = 0,
        skips: Ranges | None = None,
    ) -> None:
        self._limit = self._most = limit
        self._byte_limit = byte_limit
        self._skips = skips
        self._unwanted: set[int] = set()
        """Positions that were issued, are skipped, and have not been answered."""
        self.end = end
        self.due = self._following(due)
        self.next = self.due
        self.ahead = 0
        """Batches in flight."""
        self.arrived: dict[int, Answer] = {}
        self.largest_bytes: int | None = None
        self.wanted = False
        """Whether the consumer waits for the position due."""

    @property
    def finished(self) -> bool:
        """Whether every position of the epoch was handed over."""
        return self.due == self.end

    @property
    def left(self) -> int | None:
        """Positions that are not handed over, without those skipped; None: endless."""
        if self.end is None:
            return None
        skipped = 0 if self._skips is None else len(self._skips.within(self.due, self.end))
        return self.end - self.due - skipped

    def may_issue(self) -> bool:
        """Whether `issue` may be called now."""
        position = self.next
        if position == self.end:
            return False
        ahead = self.ahead
        if position == self.due:
            return ahead <= self._limit  # it is 0, but for skipped ones being computed
        if ahead >= self._limit + self.wanted:
            return False
        if self._byte_limit is None:
            return True
        if self.largest_bytes is None:
            return False
        return (ahead + 1) * self.largest_bytes <= self._byte_limit

    def leaves_room(self, later: Iterable[Window[Answer]]) -> bool:
        """Whether a position of a later epoch may be issued: all of this one are, and those ahead
        of it and of the `later` ones stay within its limits together (R1, R2)."""
        if self.next != self.end:
            return False
        ahead, largest = self.ahead, self.largest_bytes
        for other in later:
            ahead += other.ahead
            if other.largest_bytes is not None and other.largest_bytes > (largest or 0):
                largest = other.largest_bytes
        if ahead >= self._limit + self.wanted:
            return False
        if self._byte_limit is None:
            return True
        return largest is not None and (ahead + 1) * largest <= self._byte_limit

    def issue(self) -> int:
        """Take the next position to be requested. `may_issue` has said yes."""
        position = self.next
        self.next = position + 1 if self._skips is None else self._following(position + 1)
        self.ahead += 1
        return position

    def awaits(self, position: int) -> bool:
        """Whether an answer for this position would be kept."""
        return (
            self.due <= position < self.next
            and position not in self.arrived
            and (self._skips is None or position not in self._skips)
        )

    def arrive(self, position: int, answer: Answer, nbytes: int | None = None) -> bool:
        """Keep the answer for a position; False where it has one or does not wait for one."""
        # `not self.awaits(position)`, written out: that would be one more call for every batch.
        if (
            not self.due <= position < self.next
            or position in self.arrived
            or (self._skips is not None and position in self._skips)
        ):
            if position in self._unwanted:
                self._unwanted.remove(position)
                self.ahead -= 1
            return False
        if nbytes is not None and (self.largest_bytes is None or nbytes > self.largest_bytes):
            self.largest_bytes = nbytes
        self.arrived[position] = answer
        return True

    def hand_over(self) -> Answer:
        """Take the answer of the position due, which has arrived, out of the window."""
        answer = self.arrived.pop(self.due)
        self.due = self.due + 1 if self._skips is None else self._following(self.due + 1)
        self.ahead -= 1
        self.wanted = False
        return answer

    def resize(self, limit: int) -> None:
        """So many positions ahead from now on. What is issued beyond that stays so."""
        self._limit = limit
        self._most = max(self._most, limit)

    def restart(self, due: int) -> list[Answer]:
        """Forget everything issued; `due` is the next position. Returns the answers dropped."""
        self._most = self._limit
        dropped = list(self.arrived.values())
        self.arrived.clear()
        self._unwanted.clear()
        self.due = self.next = self._following(due)
        self.ahead = 0
        self.wanted = False
        return dropped

    def skip(self, skips: Ranges) -> list[Answer]:
        """Leave out these positions, and those known before. Returns the answers dropped."""
        issued = self.due
        while issued < self.next:
            if issued in skips and issued not in self.arrived:
                self._unwanted.add(issued)
            issued = self._following(issued + 1)
        dropped = [self.arrived.pop(position) for position in [*self.arrived] if position in skips]
        self.ahead -= len(dropped)
        self._skips = skips if self._skips is None else self._skips | skips
        self.due, self.next = self._following(self.due), self._following(self.next)
        return dropped

    def _following(self, position: int) -> int:
        """The first position from here on that is not skipped, or the end."""
        if self._skips is None:
            return position
        following = self._skips.after(position)
        return following if self.end is None else min(following, self.end)

    def check(self) -> None:
        """Assert the rules; for tests."""
        assert 0 <= self.due <= self.next
        assert self.end is None or self.next <= self.end
        waiting = {p for p in range(self.due, self.next) if not self._skips or p not in self._skips}
        assert self.ahead == len(waiting) + len(self._unwanted)
        most = self._most + (self.wanted or len(waiting) <= 1)
        assert self.ahead <= most or self.ahead == len(waiting) == 1
        assert self.arrived.keys() <= waiting
        assert not self._unwanted & waiting
