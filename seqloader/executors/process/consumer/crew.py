"""The life of the worker processes: born into slots, watched, buried, replaced, awaited.

A smaller crew: who is in a slot too many is *leaving*. Its row of the table says so, and it leaves
after the ticket that it works on; one that waits for a ticket is nudged. It keeps its slot until it
has left: where the crew grows again meanwhile, its successor waits for that. It says so itself, and
then has *departed*: nobody waits for its end, which may take as long as user code likes.
"""

from __future__ import annotations

import select
import signal
import time
from typing import TYPE_CHECKING, Final

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.arena import ArenaView
from seqloader.executors.process.consumer.starts import (
    Starts,
    cannot_launch,
    died_too_often,
    failed_start,
    is_kill,
    killed_for_memory,
    no_room,
)
from seqloader.executors.process.consumer.worker import WorkerProcess
from seqloader.executors.process.wire.blocks import make_sparse
from seqloader.executors.process.wire.table import ROWS
from seqloader.memory.descriptors import Descriptors
from seqloader.memory.headroom import available_bytes
from seqloader.memory.kills import MemoryKills
from seqloader.tickets import Shortage

if TYPE_CHECKING:
    from collections.abc import Collection

    from seqloader.executors.process.consumer.arena import Arenas
    from seqloader.executors.process.consumer.birth import Birth, FirstState
    from seqloader.tickets import Death

__all__ = ["Crew"]

LEAST_WORKER_BYTES: Final = 64 << 20
"""An interpreter with numpy; where it is not known what a worker had."""

RECOUNT_S: Final = 30.0
"""A kill for want of memory that is older may be forgotten."""

DEPARTURE_S: Final = 5.0
"""How long a worker that has left may take to end, as what user code does at an exit."""


class Crew:
    """Worker processes, by number; a number is never used again.

    Args:
        size: how many slots there are, each with one worker.
        arenas: each worker's is made with it, and forgotten after it.
        poll: the consumer's one wait, in which the ends of workers are seen.
        stacks: whether workers may be asked for their stacks.

    Attributes:
        workers: those that are not buried.
        is_shrinking: some of them are leaving, or have left and not ended.
        again_at: when the next start is tried that was put off, on the monotonic clock; 0.0: none.
        shortages: to be told.
        killed: they were all killed: deaths are our own, and nobody is replaced.
        ends: the part of the poll that watches over the workers. Asked for every batch.
    """

    def __init__(self, size: int, arenas: Arenas, poll: select.poll, *, stacks: bool) -> None:
        self.size = size
        self.workers: dict[int, WorkerProcess] = {}
        self.killed = False
        self.is_shrinking = False
        self.starts = Starts()
        self.again_at = 0.0
        self.shortages: list[Shortage] = []
        self._memory_kills: MemoryKills | None = None
        self._recount_at = 0.0
        self._wanted_bytes = 0
        """Memory to be had before another start, since one was killed for want of it."""
        self._killed_why = ""
        self._killed_before = 0
        """The number of the last worker that was started before that."""
        self._waits = 0
        self._failed: tuple[Death, bool, str] | None = None
        """The last that ended before its first batch, not judged yet."""
        self._arenas = arenas
        self._stacks = stacks
        self._poll = poll
        self.ends = select.poll()
        self._numbers = 0
        self._departed: dict[int, WorkerProcess] = {}
        """Who has left, and only has to end."""

    # --- births -----------------------------------------------------------------------------

    def vacancies(self) -> list[int]:
        """The slots that want a worker."""
        taken = {worker.slot for worker in self.workers.values()}
        return [slot for slot in range(self.size) if slot not in taken]

    def fill(self, birth: Birth, state: FirstState, *, whole: bool = False) -> None:
        """Start a worker in every vacant slot, which loads `state` first.

        Raises:
            WorkerStartError: the system refuses one, and the crew is to be `whole`; or it has
                refused too many, and nobody serves.
        """
        vacant = self.vacancies()
        if not vacant:
            self.again_at = 0.0  # the crew has been made smaller, and needs no more
        for slot in vacant:
            if self.killed or self._must_wait():  # a stop may come in the middle of a start
                return
            try:
                self._launch(slot, birth, state)
            except OSError as error:
                self._do_without(error, whole=whole)
            else:
                self._put_off_others()

    def _do_without(self, error: OSError, *, whole: bool) -> None:
        """The system gave no process, or not what one needs."""
        worker = self.workers[self._numbers]
        self._forget(worker)
        if worker.number in self._arenas.views:
            self._arenas.forget(worker.number)
        failure = cannot_launch(error)
        self.starts.note_failure(from_elsewhere=True)
        living = len(self.workers)
        if whole or self.starts.gives_up(living, self._serving()):
            raise failure from error
        pause_s = max(self.starts.pause_s(living), Starts.FIRST_PAUSE_S)
        self._put_off(pause_s, str(failure), said=self.starts.must_say())

    def _launch(self, slot: int, birth: Birth, state: FirstState) -> None:
        number = self._numbers = self._numbers + 1
        if number > ROWS:
            raise WorkerStartError(
                f"a pool has room for {ROWS} starts of workers, and all are used up: if something "
                "kills them, see the warnings; if you resize very often, stop() and start() again"
            )
        worker = self.workers[number] = WorkerProcess(number, slot)
        descriptors = Descriptors()
        try:
            arena_fd = descriptors.memory("seqloader-arena")
            arena_bytes = make_sparse(arena_fd, 2 * self.size)
            self._arenas.add(ArenaView(number, arena_fd, arena_bytes, self._arenas.freed))
            worker.launch(birth, state, (arena_fd, arena_bytes), stacks=self._stacks)
        finally:
            descriptors.close()
        self._poll.register(worker.watch, select.POLLIN)
        self.ends.register(worker.watch, select.POLLIN)

    def note_first_state(self, version: int) -> None:
        """The state that all wait for is there. Who has ended while waiting says nothing of others,
        and what came before took the consumer's time."""
        ended = {fd for fd, _ in self.ends.poll(0)}
        for worker in self.workers.values():
            worker.excused = worker.watch in ended
            worker.version = version
            worker.born_ns = time.monotonic_ns()

    def watch_memory(self) -> None:
        """Count kills for want of memory from now on, if the last time was a while ago: one of long
        ago says nothing of a worker that dies now. (Reading counts takes longer than all else that
        a start does: so it is done while the first workers start.)"""
        now = time.monotonic()
        if now >= self._recount_at:
            self._memory_kills = MemoryKills()
            self._recount_at = now + RECOUNT_S

    def note_answer(self, worker: WorkerProcess) -> None:
        """The worker has answered a ticket, or said something of one, for the first time."""
        worker.answered = True
        self.starts.works()
        if worker.number > self._killed_before:
            self._wanted_bytes = self._waits = 0
        if self.again_at:
            self.again_at = time.monotonic()  # starts succeed again: the others now

    # --- starts that wait -------------------------------------------------------------------

    def _put_off(self, pause_s: float, why: str, *, said: bool) -> None:
        self.again_at = time.monotonic() + pause_s
        if said:
            self.shortages.append(Shortage(self._serving(), self.size, why, pause_s))

    def _put_off_others(self) -> None:
        """One was started. While starts fail, or memory is short, the others wait for what becomes
        of it: its first batch brings them."""
        pause_s = self.starts.pause_s(len(self.workers))
        if self._wanted_bytes and self._serving():
            pause_s = max(pause_s, Starts.LONGEST_ALONE_S)
        if pause_s and self.vacancies():
            self._put_off(pause_s, "", said=False)

    def _serving(self) -> int:
        """How many have answered a ticket, and stay."""
        return sum(worker.answered and not worker.leaving for worker in self.workers.values())

    def is_due(self) -> bool:
        """Whether a start that was put off may be tried now."""
        return time.monotonic() >= self.again_at

    def _must_wait(self) -> bool:
        """Whether no worker may be started now; then it is known when one may."""
        if self.again_at and not self.is_due():
            return True
        self.again_at = 0.0
        return not self._has_room()

    def _has_room(self) -> bool:
        """Whether there is memory for one more, if one was killed for want of it. With nobody left
        it is tried all the same: what there is may do."""
        if not self._wanted_bytes or not self.workers:
            return True
        available = available_bytes()
        if available is None or available >= self._wanted_bytes:
            self._waits = 0
            return True
        self._waits += 1
        pause_s = min(Starts.LONGEST_PAUSE_S, Starts.FIRST_PAUSE_S * 2.0 ** min(self._waits, 30))
        why = no_room(self._killed_why, self._wanted_bytes, available)
        self._put_off(pause_s, why, said=self._waits == 1)
        if pause_s == Starts.LONGEST_PAUSE_S:
            # What it had may have been pages of files, which the system takes back by itself.
            self._wanted_bytes = max(LEAST_WORKER_BYTES, self._wanted_bytes // 2)
        return False

    # --- size -------------------------------------------------------------------------------

    def resize(self, size: int) -> None:
        """There are so many slots from now on. Who is in one too many is to leave."""
        self.size = size
        for worker in self.workers.values():
            if worker.slot >= size:
                worker.leaving = self.is_shrinking = True

    def leaving(self) -> dict[int, WorkerProcess]:
        """Who is to leave, by number."""
        found = {n: worker for n, worker in self.workers.items() if worker.leaving}
        self.is_shrinking = bool(found or self._departed)
        return found

    def see_off(self, worker: WorkerProcess) -> None:
        """It has left: its slot is vacant, and it only has to end."""
        del self.workers[worker.number]
        self._arenas.forget(worker.number)
        worker.kill_at = time.monotonic() + DEPARTURE_S
        self._departed[worker.number] = worker

    def end_departed(self) -> None:
        """Reap those who have left and ended; kill those who take too long."""
        for worker in list(self._departed.values()):
            if _has_ended(worker):
                self._poll.unregister(worker.watch)
                self.ends.unregister(worker.watch)
                self._forget(worker)
            elif time.monotonic() > worker.kill_at:
                worker.kill()

    # --- deaths -----------------------------------------------------------------------------

    def ended(self, descriptors: Collection[int]) -> list[WorkerProcess]:
        """The workers whose ends were seen on these descriptors."""
        return [worker for worker in self.workers.values() if worker.watch in descriptors]

    def bury(self, worker: WorkerProcess, *, blamed: bool) -> Death:
        """Reap a worker, all of whose reports are in; its slot is vacant after that.

        Args:
            worker: it has ended.
            blamed: whether a ticket died with it, whose tries are counted elsewhere.
        """
        self._poll.unregister(worker.watch)
        self.ends.unregister(worker.watch)
        death = worker.reap()
        del self.workers[worker.number]
        self._arenas.forget(worker.number)
        start_errors = worker.start_errors()
        worker.close()
        if not (worker.overdue or worker.leaving):
            self._note_memory(death)
        if not (blamed or worker.answered or worker.excused or worker.leaving):
            worker.failed = True
            self.starts.note_failure(from_elsewhere=is_kill(death.exitcode))
            self._failed = death, worker.ready, start_errors
        return death

    def _note_memory(self, death: Death) -> None:
        kills = self._memory_kills
        if kills and death.exitcode == -signal.SIGKILL and (where := kills.risen()):
            needed = max(LEAST_WORKER_BYTES, death.peak_rss_bytes or 0)
            self._wanted_bytes = max(self._wanted_bytes, needed)
            self._killed_before = self._numbers
            self._killed_why = killed_for_memory(death, where)

    def judge(self) -> None:
        """Some were buried: say when their successors are started.

        Raises:
            WorkerStartError: too many have died before they had done anything, and nobody serves.
        """
        living = len(self.workers)
        failed, self._failed = self._failed, None
        if failed is not None:
            death, ready, start_errors = failed
            if self.starts.gives_up(living, self._serving()):
                count = self.starts.failed
                raise died_too_often(count, death, ready=ready, start_errors=start_errors)
            if pause_s := self.starts.pause_s(living):
                why = failed_start(death, start_errors)
                self._put_off(pause_s, why, said=self.starts.must_say())
        if not living and self.again_at:
            self.again_at = min(self.again_at, time.monotonic() + Starts.LONGEST_ALONE_S)

    def kill(self) -> None:
        """SIGKILL for all. Any thread, any signal handler."""
        self.killed = True
        for worker in self._everyone():
            worker.kill()

    def _everyone(self) -> list[WorkerProcess]:
        return [*self.workers.values(), *self._departed.values()]

    def await_end(self, deadline: float) -> None:
        """Reap what ends before the deadline."""
        while everyone := self._everyone():
            poll = select.poll()
            for worker in everyone:
                if worker.watch < 0:  # its start was interrupted
                    self._forget(worker)
                else:
                    poll.register(worker.watch, select.POLLIN)
            left_s = deadline - time.monotonic()
            ended = {fd for fd, _ in poll.poll(max(0, int(left_s * 1000)))}
            for worker in everyone:
                if worker.watch in ended:
                    self._forget(worker)
            if left_s <= 0:
                return

    def _forget(self, worker: WorkerProcess) -> None:
        if worker.pid > 0:
            worker.reap()
        worker.close()
        self.workers.pop(worker.number, None)
        self._departed.pop(worker.number, None)

    def release_lives(self) -> None:
        """Close the write ends of the life pipes, in a process that is not the consumer."""
        for worker in self._everyone():
            worker.release_life()

    def close(self) -> None:
        """Close all descriptors of all workers; those that live are reaped another time."""
        for worker in self._everyone():
            worker.close()
        self.workers.clear()
        self._departed.clear()

    def check(self) -> None:
        """Assert what must hold between calls."""
        slots = [worker.slot for worker in self.workers.values()]
        assert len({*slots}) == len(slots), f"two workers in one slot: {slots}"
        staying = [worker.slot for worker in self.workers.values() if not worker.leaving]
        assert all(0 <= slot < self.size for slot in staying), (staying, self.size)
        assert self.is_shrinking or len(staying) == len(slots), "some are leaving, unknown"
        assert all(0 < n <= self._numbers and w.number == n for n, w in self.workers.items())
        vacant = self.vacancies()
        assert self.killed or self.again_at or not vacant, f"vacant slots: {vacant}"
        assert self.workers.keys() <= self._arenas.views.keys(), "a worker without an arena"


def _has_ended(worker: WorkerProcess) -> bool:
    poll = select.poll()
    poll.register(worker.watch, select.POLLIN)
    return bool(poll.poll(0))
