"""The window: tickets issued and not yet delivered.

Pure: it counts positions and keeps what arrived for them. It knows no executor, clock or batch.

    due <= position < next    issued; `arrived` holds those that are answered
    position < due            handed over
    position >= next          not issued yet

Rules
    R1  At most `limit` positions are issued ahead of the consumer: beside the one it has, and,
        while it waits for one (`wanted`), beside that.
    R2  With a byte limit, no position is issued while those ahead, each counted as the largest
        batch seen this epoch, would exceed it. Before any size is known one goes alone.
    R3  The position due next may always be issued.
    R4  A position is answered once: a second answer is refused.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Window"]

Answer = TypeVar("Answer")


class Window(Generic[Answer]):
    """Positions `due` to `end` of one epoch; `end` None means endless."""

    __slots__ = (
        "_byte_limit",
        "_limit",
        "arrived",
        "due",
        "end",
        "largest_bytes",
        "next",
        "wanted",
    )

    def __init__(
        self, *, limit: int, byte_limit: int | None = None, end: int | None, due: int = 0
    ) -> None:
        self._limit = limit
        self._byte_limit = byte_limit
        self.end = end
        self.due = due
        self.next = due
        self.arrived: dict[int, Answer] = {}
        self.largest_bytes: int | None = None
        self.wanted = False
        """Whether the consumer waits for the position due."""

    @property
    def finished(self) -> bool:
        """Whether every position of the epoch was handed over."""
        return self.due == self.end

    def may_issue(self) -> bool:
        """Whether `issue` may be called now."""
        position = self.next
        if position == self.end:
            return False
        ahead = position - self.due
        if ahead == 0:
            return True
        if ahead >= self._limit + self.wanted:
            return False
        if self._byte_limit is None:
            return True
        if self.largest_bytes is None:
            return False
        return (ahead + 1) * self.largest_bytes <= self._byte_limit

    def issue(self) -> int:
        """Take the next position to be requested. `may_issue` has said yes."""
        position = self.next
        self.next = position + 1
        return position

    def arrive(self, position: int, answer: Answer, nbytes: int | None = None) -> bool:
        """Keep the answer for a position; False where it has one or does not wait for one."""
        if not self.due <= position < self.next or position in self.arrived:
            return False
        if nbytes is not None and (self.largest_bytes is None or nbytes > self.largest_bytes):
            self.largest_bytes = nbytes
        self.arrived[position] = answer
        return True

    def hand_over(self) -> Answer:
        """Take the answer of the position due, which has arrived, out of the window."""
        answer = self.arrived.pop(self.due)
        self.due += 1
        self.wanted = False
        return answer

    def restart(self, due: int) -> list[Answer]:
        """Forget everything issued; `due` is the next position. Returns the answers dropped."""
        dropped = list(self.arrived.values())
        self.arrived.clear()
        self.due = self.next = due
        self.wanted = False
        return dropped

    def check(self) -> None:
        """Assert the rules; for tests."""
        assert 0 <= self.due <= self.next
        assert self.end is None or self.next <= self.end
        assert self.next - self.due <= self._limit + self.wanted or self.next == self.due + 1
        assert all(self.due <= position < self.next for position in self.arrived)
