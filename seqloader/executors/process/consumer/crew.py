"""The life of the worker processes: born into slots, watched, buried, replaced, awaited.

A smaller crew: who is in a slot too many is *leaving*. Its row of the table says so, and it leaves
after the ticket that it works on; one that waits for a ticket is nudged. It keeps its slot until it
has left: where the crew grows again meanwhile, its successor waits for that. It says so itself, and
then has *departed*: nobody waits for its end, which may take as long as user code likes.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.arena import ArenaView
from seqloader.executors.process.consumer.schedule import Schedule, Strength
from seqloader.executors.process.consumer.starts import cannot_launch
from seqloader.executors.process.consumer.worker import WorkerProcess
from seqloader.executors.process.wire.blocks import make_sparse
from seqloader.executors.process.wire.table import ROWS
from seqloader.memory.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Collection

    from seqloader.executors.process.consumer.arena import Arenas
    from seqloader.executors.process.consumer.birth import Birth, FirstState
    from seqloader.executors.process.consumer.zygote import Zygote
    from seqloader.tickets import Death

__all__ = ["Crew"]

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
        zygote: who bears the workers, if it can; None: they are born as the pool's birth says.
        schedule: when vacant slots get their workers.
        killed: they were all killed: deaths are our own, and nobody is replaced.
        ends: the part of the poll that watches over the workers. Asked for every batch.
    """

    def __init__(self, size: int, arenas: Arenas, poll: select.poll, *, stacks: bool) -> None:
        self.size = size
        self.workers: dict[int, WorkerProcess] = {}
        self.killed = False
        self.is_shrinking = False
        self.zygote: Zygote | None = None
        self._watches_zygote = False
        self.schedule = Schedule()
        self._arenas = arenas
        self._stacks = stacks
        self._poll = poll
        self.ends = select.poll()
        self._numbers = 0
        self._departed: dict[int, WorkerProcess] = {}
        """Who has left, and only has to end."""

    @property
    def rows(self) -> int:
        """Of the table that are used: one for each worker so far."""
        return self._numbers

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
        schedule, vacant = self.schedule, self.vacancies()
        if not vacant:
            schedule.clear()  # the crew has been made smaller, and needs no more
        for slot in vacant:
            # A stop may come in the middle of a start.
            if self.killed or self._must_wait() or not schedule.may_start(self._strength()):
                return
            try:
                self._launch(slot, birth, state)
            except OSError as error:
                self._do_without(self.workers[self._numbers], error, whole=whole)
            else:
                if self.vacancies():
                    schedule.note_start(self._strength())

    def _must_wait(self) -> bool:
        """Whether the zygote can be asked for nobody now: it is not told yet what to import, or has
        not answered enough of what it was asked."""
        return self.zygote is not None and not self.zygote.can_be_asked

    def hears_zygote(self, descriptors: Collection[int]) -> bool:
        """Whether it has something to say, by these descriptors of the consumer's wait."""
        zygote = self.zygote
        if zygote is None:
            return False
        return zygote.has_unread or (self._watches_zygote and zygote.fileno() in descriptors)

    def note_zygote(self) -> None:
        """Note what it says: who is born, or that it bears nobody."""
        zygote = self.zygote
        assert zygote is not None
        for birth in zygote.note():
            worker = self.workers.get(birth.number) or self._departed.get(birth.number)
            if worker is None:
                if not birth.refused:
                    zygote.bury_unknown(birth)
                continue
            self._unwatch(worker)
            if birth.refused:
                self._do_without(worker, OSError(birth.pid, os.strerror(birth.pid)), whole=False)
            else:
                worker.note_born(birth.pid)
                self._watch(worker)
        if zygote.is_gone:
            self.forget_zygote(zygote.why_not)

    def forget_zygote(self, why: str) -> None:
        """Fresh interpreters from now on. Those whose births it has not answered end without it,
        if there are any: that says nothing of others. Idempotent."""
        zygote = self.zygote
        assert zygote is not None
        zygote.give_up(why)
        if zygote.has_unread:  # births, which came before
            self.note_zygote()
        for worker in self.workers.values():
            worker.excused |= worker.pid == 0
        if self._watches_zygote:
            self._watches_zygote = False
            self._poll.unregister(zygote.fileno())
            self.ends.unregister(zygote.fileno())

    def do_without_zygote(self) -> None:
        """Before it was told anything: it is known that it cannot bear these workers."""
        if self.zygote is not None:
            self.forget_zygote("it was found unfit before")

    def end_births(self) -> None:
        """All is about to stop, perhaps since a start was torn: nobody waits for a zygote that
        imports. It has borne nobody."""
        if self.zygote is not None and not self.zygote.is_fit:
            self.zygote.give_up("stopped")

    def watch_zygote(self) -> None:
        """See in the consumer's wait what it says, and its end."""
        assert self.zygote is not None
        self._watches_zygote = True
        self._poll.register(self.zygote.fileno(), select.POLLIN)
        self.ends.register(self.zygote.fileno(), select.POLLIN)

    def _do_without(self, worker: WorkerProcess, error: OSError, *, whole: bool) -> None:
        """The system gave no process, or not what one needs."""
        self._forget(worker)
        if worker.number in self._arenas.views:
            self._arenas.forget(worker.number)
        failure = cannot_launch(error)
        if whole or not self.schedule.survives_refusal(failure, self._strength()):
            raise failure from error

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
            zygote = None if self.zygote is None or self.zygote.is_gone else self.zygote
            worker.launch(birth, zygote, state, (arena_fd, arena_bytes), stacks=self._stacks)
        finally:
            descriptors.close()
        self._watch(worker)

    def _watch(self, worker: WorkerProcess) -> None:
        self._poll.register(worker.watch, select.POLLIN)
        self.ends.register(worker.watch, select.POLLIN)

    def _unwatch(self, worker: WorkerProcess) -> None:
        self._poll.unregister(worker.watch)
        self.ends.unregister(worker.watch)

    def note_first_state(self, version: int) -> None:
        """The state that all wait for is there. Who has ended while waiting says nothing of others,
        and what came before took the consumer's time."""
        ended = {fd for fd, _ in self.ends.poll(0)}
        for worker in self.workers.values():
            worker.excused = worker.watch in ended
            worker.version = version
            worker.born_ns = time.monotonic_ns()

    def note_answer(self, worker: WorkerProcess) -> None:
        """The worker has answered a ticket, or said something of one, for the first time."""
        worker.answered = True
        self.schedule.note_success(worker.number)

    def _strength(self) -> Strength:
        serving = sum(w.answered and not w.leaving for w in self.workers.values())
        return Strength(len(self.workers), serving, self.size)

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
                self._unwatch(worker)
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
        self._unwatch(worker)
        death = worker.reap()
        del self.workers[worker.number]
        self._arenas.forget(worker.number)
        start_errors = worker.start_errors()
        worker.close()
        if not (worker.overdue or worker.leaving):
            for_memory = self.schedule.note_death(death, self._numbers)
            death = death._replace(for_memory=for_memory)
        if not (blamed or worker.answered or worker.excused or worker.leaving):
            worker.failed = True
            self.schedule.note_failure(death, start_errors, ready=worker.ready)
        return death

    def judge(self) -> None:
        """Some were buried: say when their successors are started.

        Raises:
            WorkerStartError: too many have died before they had done anything, and nobody serves.
        """
        self.schedule.judge(self._strength())

    def end_overdue(self, number: int) -> None:
        """The worker is past its time; or it was asked for, and imports take too long."""
        worker, zygote = self.workers[number], self.zygote
        if not (worker.pid or worker.ready or zygote is None or zygote.is_gone or zygote.is_fit):
            self.forget_zygote("its imports take too long")
        worker.kill_overdue()

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
            if self.zygote is not None:
                self.zygote.patience_s = max(0.1, deadline - time.monotonic())
            poll = select.poll()
            for worker in everyone:
                if worker.watch < 0:  # its start was interrupted
                    self._forget(worker)
                else:
                    if worker.pid == 0:  # it cannot be killed otherwise
                        worker.release_life()
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
        if self.zygote is not None:
            self.zygote.release()

    def close(self) -> None:
        """Close all descriptors of all workers; those that live are reaped another time."""
        for worker in self._everyone():
            worker.close()
        if self.zygote is not None:
            self.zygote.close()
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
        filled = not vacant or self.schedule.again_at or self._must_wait()
        assert self.killed or filled, f"vacant slots: {vacant}"
        assert self.workers.keys() <= self._arenas.views.keys(), "a worker without an arena"


def _has_ended(worker: WorkerProcess) -> bool:
    poll = select.poll()
    poll.register(worker.watch, select.POLLIN)
    return bool(poll.poll(0))
