"""The life of the worker processes: born into slots, watched, buried, replaced, awaited."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.arena import ArenaView
from seqloader.executors.process.consumer.starts import Starts, cannot_launch, died_too_often
from seqloader.executors.process.consumer.worker import WorkerProcess
from seqloader.executors.process.wire.blocks import make_sparse
from seqloader.executors.process.wire.table import ROWS
from seqloader.memory.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Collection

    from seqloader.executors.process.consumer.arena import Arenas
    from seqloader.executors.process.consumer.birth import Birth, FirstState
    from seqloader.tickets import Death

__all__ = ["Crew"]


class Crew:
    """Worker processes, by number; a number is never used again.

    Args:
        size: how many slots there are, each with one worker.
        arenas: each worker's is made with it, and forgotten after it.
        poll: the consumer's one wait, in which the ends of workers are seen.
        stacks: whether workers may be asked for their stacks.

    Attributes:
        workers: those that are not buried.
        killed: they were all killed: deaths are our own, and nobody is replaced.
        ends: the part of the poll that watches over the workers. Asked for every batch.
    """

    def __init__(self, size: int, arenas: Arenas, poll: select.poll, *, stacks: bool) -> None:
        self.size = size
        self.workers: dict[int, WorkerProcess] = {}
        self.killed = False
        self.starts = Starts()
        self._arenas = arenas
        self._stacks = stacks
        self._poll = poll
        self.ends = select.poll()
        self._numbers = 0

    # --- births -----------------------------------------------------------------------------

    def vacancies(self) -> list[int]:
        """The slots that want a worker."""
        taken = {worker.slot for worker in self.workers.values()}
        return [slot for slot in range(self.size) if slot not in taken]

    def fill(self, birth: Birth, state: FirstState) -> None:
        """Start a worker in every vacant slot, which loads `state` first."""
        for slot in self.vacancies():
            if self.killed:  # a stop came in the middle of a start
                return
            try:
                self._launch(slot, birth, state)
            except OSError as error:
                raise cannot_launch(error) from error

    def _launch(self, slot: int, birth: Birth, state: FirstState) -> None:
        number = self._numbers = self._numbers + 1
        if number > ROWS:
            raise WorkerStartError(f"{ROWS} workers of one pool have died: something kills them")
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

    def note_answer(self, worker: WorkerProcess) -> None:
        """The worker has answered a ticket, or said something of one, for the first time."""
        worker.answered = True
        self.starts.works()

    # --- deaths -----------------------------------------------------------------------------

    def ended(self, descriptors: Collection[int]) -> list[WorkerProcess]:
        """The workers whose ends were seen on these descriptors."""
        return [worker for worker in self.workers.values() if worker.watch in descriptors]

    def bury(self, worker: WorkerProcess, *, blamed: bool) -> Death:
        """Reap a worker, all of whose reports are in; its slot is vacant after that.

        Args:
            worker: it has ended.
            blamed: whether a ticket died with it, whose tries are counted elsewhere.

        Raises:
            WorkerStartError: too many have died before they had done anything.
        """
        self._poll.unregister(worker.watch)
        self.ends.unregister(worker.watch)
        death = worker.reap()
        del self.workers[worker.number]
        self._arenas.forget(worker.number)
        start_errors = worker.start_errors()
        worker.close()
        excused = blamed or worker.answered or worker.excused
        if not excused and self.starts.died():
            count = self.starts.in_a_row
            raise died_too_often(count, death, ready=worker.ready, start_errors=start_errors)
        return death

    def kill(self) -> None:
        """SIGKILL for all. Any thread, any signal handler."""
        self.killed = True
        for worker in list(self.workers.values()):
            worker.kill()

    def await_end(self, deadline: float) -> None:
        """Reap what ends before the deadline."""
        while self.workers:
            poll = select.poll()
            for worker in list(self.workers.values()):
                if worker.watch < 0:  # its start was interrupted
                    self._forget(worker)
                else:
                    poll.register(worker.watch, select.POLLIN)
            if not self.workers:
                return
            left_s = deadline - time.monotonic()
            for worker in self.ended({fd for fd, _ in poll.poll(max(0, int(left_s * 1000)))}):
                self._forget(worker)
            if left_s <= 0:
                return

    def _forget(self, worker: WorkerProcess) -> None:
        if worker.pid > 0:
            worker.reap()
        worker.close()
        del self.workers[worker.number]

    def release_lives(self) -> None:
        """Close the write ends of the life pipes, in a process that is not the consumer."""
        for worker in self.workers.values():
            worker.release_life()

    def close(self) -> None:
        """Close all descriptors of all workers; those that live are reaped another time."""
        for worker in list(self.workers.values()):
            worker.close()
        self.workers.clear()

    def check(self) -> None:
        """Assert what must hold between calls."""
        slots = [worker.slot for worker in self.workers.values()]
        assert len({*slots}) == len(slots), f"two workers in one slot: {slots}"
        assert all(0 <= slot < self.size for slot in slots), (slots, self.size)
        assert all(0 < n <= self._numbers and w.number == n for n, w in self.workers.items())
        assert self.killed or not self.vacancies(), f"vacant slots: {self.vacancies()}"
        assert self.workers.keys() <= self._arenas.views.keys(), "a worker without an arena"
