"""When the next worker is started, on the clock and with the memory that there is.

What failures mean is decided in starts.py, which knows neither. A start is put off after failures,
and while there is no room for a worker in place of one that was killed for want of memory.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from seqloader.executors.process.consumer.starts import (
    Starts,
    died_too_often,
    failed_start,
    is_kill,
    killed_for_memory,
    no_room,
)
from seqloader.memory.headroom import available_bytes
from seqloader.memory.kills import MemoryKills
from seqloader.tickets import Shortage

if TYPE_CHECKING:
    from seqloader.errors import WorkerStartError
    from seqloader.tickets import Death

__all__ = ["Schedule", "Strength"]

LEAST_WORKER_BYTES: Final = 64 << 20
"""An interpreter with numpy; where it is not known what a worker had."""

RECOUNT_S: Final = 30.0
"""A kill for want of memory that is older may be forgotten."""


class Strength(NamedTuple):
    """How many workers there are."""

    living: int
    serving: int
    """Of these, how many have answered a ticket, and stay."""
    wanted: int


class Schedule:
    """When vacant slots get their workers.

    Attributes:
        again_at: when the next start is tried that was put off, on the monotonic clock; 0.0: none.
            Asked for every batch.
        shortages: to be told.
    """

    def __init__(self) -> None:
        self.again_at = 0.0
        self.shortages: list[Shortage] = []
        self._starts = Starts()
        self._failed: tuple[Death, bool, str] | None = None
        """The last that ended before its first batch, not judged yet."""
        self._memory_kills: MemoryKills | None = None
        self._recount_at = 0.0
        self._wanted_bytes = 0
        """Memory to be had before another start, since one was killed for want of it."""
        self._killed_why = ""
        self._killed_before = 0
        """The number of the last worker that was started before that."""
        self._waits = 0

    # --- starts -----------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Whether a start that was put off may be tried now."""
        return time.monotonic() >= self.again_at

    def may_start(self, strength: Strength) -> bool:
        """Whether a worker may be started now; else it is known when one may."""
        if self.again_at and not self.is_due():
            return False
        self.again_at = 0.0
        return self._has_room(strength)

    def note_start(self, strength: Strength) -> None:
        """One was started, and there are more to be. While starts fail, or memory is short, they
        wait for what becomes of it: its first batch brings them."""
        pause_s = self._starts.pause_s(strength.living)
        if self._wanted_bytes and strength.serving:
            pause_s = max(pause_s, Starts.LONGEST_ALONE_S)
        if pause_s:
            self._put_off(pause_s)

    def note_success(self, number: int) -> None:
        """A new worker, of this number, has answered its first ticket: the others now."""
        self._starts.works()
        if number > self._killed_before:
            self._wanted_bytes = self._waits = 0
        if self.again_at:
            self.again_at = time.monotonic()

    def clear(self) -> None:
        """Nobody is wanted."""
        self.again_at = 0.0

    def _put_off(self, pause_s: float) -> None:
        self.again_at = time.monotonic() + pause_s

    def _say(self, why: str, pause_s: float, strength: Strength) -> None:
        self.shortages.append(Shortage(strength.serving, strength.wanted, why, pause_s))

    # --- failures ---------------------------------------------------------------------------

    def survives_refusal(self, failure: WorkerStartError, strength: Strength) -> bool:
        """The system has refused a worker: the next is tried later. False: no more."""
        starts = self._starts
        starts.note_failure(from_elsewhere=True)
        if starts.gives_up(strength.living, strength.serving):
            return False
        pause_s = max(starts.pause_s(strength.living), Starts.FIRST_PAUSE_S)
        self._put_off(pause_s)
        if starts.must_say():
            self._say(str(failure), pause_s, strength)
        return True

    def note_failure(self, death: Death, start_errors: str, *, ready: bool) -> None:
        """A worker has ended before its first batch."""
        self._starts.note_failure(from_elsewhere=is_kill(death.exitcode))
        self._failed = death, ready, start_errors

    def judge(self, strength: Strength) -> None:
        """Some have ended: say when their successors are started.

        Raises:
            WorkerStartError: too many have died before they had done anything, and nobody serves.
        """
        starts = self._starts
        failed, self._failed = self._failed, None
        if failed is not None:
            death, ready, start_errors = failed
            if starts.gives_up(strength.living, strength.serving):
                raise died_too_often(starts.failed, death, ready=ready, start_errors=start_errors)
            if pause_s := starts.pause_s(strength.living):
                self._put_off(pause_s)
                if starts.must_say():
                    self._say(failed_start(death, start_errors), pause_s, strength)
        if not strength.living and self.again_at:
            self.again_at = min(self.again_at, time.monotonic() + Starts.LONGEST_ALONE_S)

    # --- memory -----------------------------------------------------------------------------

    def watch_memory(self) -> None:
        """Count kills for want of memory from now on, if the last time was a while ago: one of long
        ago says nothing of a worker that dies now. (Reading counts takes longer than all else that
        a start does: so it is done while the first workers start.)"""
        now = time.monotonic()
        if now >= self._recount_at:
            self._memory_kills = MemoryKills()
            self._recount_at = now + RECOUNT_S

    def note_death(self, death: Death, latest: int) -> bool:
        """A worker has died that was not told to; `latest` is the number of the last started.
        Whether it was killed for want of memory."""
        kills = self._memory_kills
        if kills and death.exitcode == -signal.SIGKILL and (where := kills.risen()):
            needed = max(LEAST_WORKER_BYTES, death.peak_rss_bytes or 0)
            self._wanted_bytes = max(self._wanted_bytes, needed)
            self._killed_before = latest
            self._killed_why = killed_for_memory(death, where)
            return True
        return False

    def _has_room(self, strength: Strength) -> bool:
        """Whether there is memory for one more, if one was killed for want of it. With nobody left
        it is tried all the same: what there is may do."""
        if not self._wanted_bytes or not strength.living:
            return True
        available = available_bytes()
        if available is None or available >= self._wanted_bytes:
            self._waits = 0
            return True
        self._waits += 1
        pause_s = min(Starts.LONGEST_PAUSE_S, Starts.FIRST_PAUSE_S * 2.0 ** min(self._waits, 30))
        self._put_off(pause_s)
        if self._waits == 1:
            why = no_room(self._killed_why, self._wanted_bytes, available)
            self._say(why, pause_s, strength)
        if pause_s == Starts.LONGEST_PAUSE_S:
            # What it had may have been pages of files, which the system takes back by itself.
            self._wanted_bytes = max(LEAST_WORKER_BYTES, self._wanted_bytes // 2)
        return False
