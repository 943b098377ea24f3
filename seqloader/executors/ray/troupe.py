"""Who is in which slot, and who is to be: the actors of one start. Facts in, decisions out. Pure.

Rules
    C1  A slot has one actor at a time, from when Ray is asked for it until it has ended.
    C2  An actor that has not said that it is ready gets no tickets, however long that takes: Ray
        may have no room for it. The others go on.
    C3  With nobody ready for `start_timeout_s`, it is given up: nothing would ever come about.
    C4  Actors that end before they are ready, several in a row and with nobody ready, are given up
        too; while others are ready, the next is tried after a pause that grows.
    C5  Where a machine kills for want of memory again and again, one actor fewer goes on, and the
        next is tried after a pause that grows.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

__all__ = ["Member", "Stage", "Troupe"]

FAILED_STARTS: Final = 3
"""In a row, with nobody ready: then it is given up."""
MEMORY_KILLS: Final = 2
"""So many may be an accident,"""
MEMORY_KILLS_S: Final = 300.0
"""if they are farther apart than this."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Stage(enum.Enum):
    """Of an actor's life."""

    STARTING = enum.auto()
    READY = enum.auto()
    LEAVING = enum.auto()
    """It is one too many, and ends after its call."""


class Member(NamedTuple):
    """An actor, as far as decisions need to know it."""

    number: int
    slot: int
    stage: Stage
    since: float
    """When it was asked for."""


class Troupe:
    """The actors of one start.

    Args:
        wanted: How many there are to be.
        start_timeout_s: How long to wait for the first.
    """

    def __init__(self, wanted: int, start_timeout_s: float, now: float) -> None:
        self.wanted = wanted
        self.start_timeout_s = start_timeout_s
        self.members: dict[int, Member] = {}
        self._numbers = 0
        self._failed = 0
        """Starts in a row."""
        self._memory_kills = 0
        self._last_kill = now
        self._not_before = now
        self._nobody_since = now
        """Since when nobody has been ready."""

    # --- who there is ---------------------------------------------------------------------

    def ready(self) -> list[int]:
        """Numbers of those that take tickets."""
        return [one.number for one in self.members.values() if one.stage is Stage.READY]

    def starting(self) -> list[int]:
        """Numbers of those that were asked for and have not said that they are ready."""
        return [one.number for one in self.members.values() if one.stage is Stage.STARTING]

    def vacant(self, now: float) -> list[int]:
        """Slots for which an actor is to be asked now."""
        if now < self._not_before:
            return []
        staying = [one for one in self.members.values() if one.stage is not Stage.LEAVING]
        missing = self.wanted - len(staying)
        if self._failed or self._memory_kills >= MEMORY_KILLS:
            missing = min(missing, 1)  # one at a time, to see whether it lives
        taken = {one.slot for one in self.members.values()}
        free = (slot for slot in range(self.wanted + len(self.members)) if slot not in taken)
        return [slot for slot, _ in zip(free, range(missing), strict=False)]

    def excess(self) -> list[int]:
        """Numbers of those that are to leave: those that are not ready first."""
        staying = [one for one in self.members.values() if one.stage is not Stage.LEAVING]
        staying.sort(key=lambda one: (one.stage is Stage.READY, -one.slot))
        return [one.number for one in staying[: max(0, len(staying) - self.wanted)]]

    def is_stuck(self, now: float) -> bool:
        """Whether nobody has been ready for too long (C3)."""
        return not self.ready() and now - self._nobody_since > self.start_timeout_s

    def gives_up(self) -> bool:
        """Whether too many have failed to start (C4)."""
        return self._failed >= FAILED_STARTS and not self.ready()

    def pause_s(self, now: float) -> float:
        """How long the next start is put off."""
        return max(0.0, self._not_before - now)

    # --- what happens ---------------------------------------------------------------------

    def begin(self, slot: int, now: float) -> int:
        """An actor is asked for; its number."""
        self._numbers += 1
        self.members[self._numbers] = Member(self._numbers, slot, Stage.STARTING, now)
        return self._numbers

    def becomes_ready(self, number: int) -> None:
        """It has said so."""
        member = self.members[number]
        if member.stage is Stage.STARTING:
            self.members[number] = member._replace(stage=Stage.READY)

    def works(self) -> None:
        """An actor has answered a call: what failed before is over. (Not so with memory: there, one
        actor dies of what the others use.)"""
        self._failed = 0

    def leaves(self, number: int) -> None:
        """It is one too many."""
        self.members[number] = self.members[number]._replace(stage=Stage.LEAVING)

    def gone(self, number: int, now: float, *, for_memory: bool = False) -> Member:
        """It has ended. Who it was."""
        member = self.members.pop(number)
        if member.stage is Stage.LEAVING:
            return member
        if for_memory:
            recent = now - self._last_kill < MEMORY_KILLS_S
            self._memory_kills = self._memory_kills + 1 if recent else 1
            self._last_kill = now
        if member.stage is Stage.STARTING:
            self._failed += 1
        pauses = max(self._failed - (FAILED_STARTS - 1), self._memory_kills - (MEMORY_KILLS - 1))
        if pauses > 0:
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(pauses - 1, 30))
            self._not_before = now + (longest if self.ready() else min(longest, FIRST_PAUSE_S))
        if member.stage is Stage.READY and not self.ready():
            self._nobody_since = now
        return member

    def check(self) -> None:
        """Assert what holds between any two events."""
        slots = [one.slot for one in self.members.values()]
        assert len(slots) == len(set(slots)), "two actors in one slot"
        for number, member in self.members.items():
            assert number == member.number
