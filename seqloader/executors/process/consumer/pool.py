"""A pool: one set of pipes, table, arenas and workers. Made by a start, thrown away whole.

The rules are in the package's description (executors/process/__init__.py). Nothing here survives
an asynchronous exception in the middle of a step: the caller then makes a new pool.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from seqloader.executors.process.consumer import forks
from seqloader.executors.process.consumer.arena import Arenas
from seqloader.executors.process.consumer.birth import duplicate
from seqloader.executors.process.consumer.crew import Crew
from seqloader.executors.process.consumer.decode import ComputedBatch
from seqloader.executors.process.consumer.starts import cannot_launch
from seqloader.executors.process.consumer.traffic import Told, Traffic
from seqloader.executors.process.consumer.unreaped import reap_left_over
from seqloader.memory.descriptors import Descriptors
from seqloader.tickets import Death, Lost, Shortage

if TYPE_CHECKING:
    from collections.abc import Collection

    from seqloader.executors.process.consumer.birth import Birth
    from seqloader.executors.process.consumer.worker import WorkerProcess
    from seqloader.executors.process.consumer.zygote import Zygote

__all__ = ["Pool"]


class Pool:
    """Workers and everything that ties them to the consumer.

    Args:
        workers: how many.
        ahead: how many batches are computed or being computed ahead of the consumer, at most.
        timeout_s: seconds one ticket may take; None: no limit.
        copy: batches with private arrays instead of views.
        birth: of the workers; descriptors are filled in here.
        zygote: is to bear them; None: fresh interpreters, or forks of this process.

    Attributes:
        crew: the workers.
        traffic: their tickets and reports.
        arenas: the memory that they write batches into.
    """

    def __init__(
        self,
        workers: int,
        ahead: int,
        *,
        timeout_s: float | None,
        copy: bool,
        birth: Birth,
        zygote: Zygote | None = None,
    ) -> None:
        self._pid = os.getpid()
        self._ahead = ahead
        self._timed = timeout_s is not None
        self._poll = select.poll()
        self.arenas = Arenas(_kept_batches(workers, ahead))
        self.crew = Crew(workers, self.arenas, self._poll, stacks=self._timed)
        self.crew.zygote = zygote
        self.traffic = Traffic(self.crew, self.arenas, self._poll, timeout_s, copy)
        self._deaths: list[Told] = []
        """Noticed while tickets were discarded, to be told of by the next `collect`."""
        self._birth = birth
        self._descriptors = Descriptors()
        self._closed = False
        self._filling = 0
        """The thread that makes workers just now. Others fork as well, for pools of their own or
        for anything else; a child is what the thread that forked it wanted."""

    # --- start ------------------------------------------------------------------------------

    def open(
        self,
        state: tuple[int, int],
        state_fd: int,
        passed: Collection[int],
        modules: Collection[str] = (),
        *,
        whole: bool,
    ) -> None:
        """Make pipes and table, and start the workers, which load `state` first.

        Version 0: there is no state yet. They wait for `publish`. `passed`: the descriptors of the
        user's that workers inherit. `modules`: what a zygote is to import for the state. `whole`:
        fewer workers will not do.
        """
        reap_left_over()
        forks.watch(self)
        settings = self._birth.settings._replace(state=state_fd, passed=sorted(passed))
        try:
            settings = self.traffic.open(settings, state, self._ahead)
            settings_fd = self._descriptors.memory("seqloader-settings")
            os.write(settings_fd, settings.dumps())
        except OSError as error:
            raise cannot_launch(error) from error
        self._birth = self._birth._replace(settings=settings, settings_fd=settings_fd)
        if self.crew.zygote is not None:
            self._launch_zygote(self.crew.zygote)
            if state[0]:
                self.crew.zygote.prepare(modules)
        self._fill(whole=whole)
        self.crew.schedule.watch_memory()

    def _launch_zygote(self, zygote: Zygote) -> None:
        passed = Descriptors()
        try:
            zygote.launch(self._birth, duplicate(2, passed))
            self.crew.watch_zygote()
        except OSError as error:
            zygote.give_up(f"{error}")
        finally:
            passed.close()

    def publish(self, state: tuple[int, int], modules: Collection[str]) -> None:
        """The first state is there: workers that wait for it may load it."""
        self.traffic.open_gate(state)
        if self.crew.zygote is not None:
            self.crew.zygote.prepare(modules)
            self._fill()

    def _fill(self, *, whole: bool = False) -> None:
        try:
            self._filling = threading.get_ident()
            self.crew.fill(self._birth, self.traffic.first_state(), whole=whole)
        finally:
            self._filling = 0

    def resize(self, workers: int, ahead: int) -> None:
        """So many workers from now on, and batches ahead: others are started now, or those too
        many leave after the batch they compute."""
        self.arenas.keep(_kept_batches(workers, ahead))
        self.traffic.pipes.enlarge(ahead)
        self.crew.resize(workers)
        self.traffic.dismiss(self.crew.leaving())
        self._fill()

    def _see_off(self, told: list[Told]) -> None:
        """Who has left takes no ticket with it, and makes room for another; who has not is told
        again."""
        crew, traffic = self.crew, self.traffic
        left = [worker for worker in crew.leaving().values() if worker.left]
        if left:
            traffic.lost_with({worker.number for worker in left}, told)
            for worker in left:
                crew.see_off(worker)
            self._fill()
        traffic.dismiss(crew.leaving())
        crew.end_departed()

    # --- wait and collect -------------------------------------------------------------------

    def wait(self, timeout_s: float | None) -> None:
        """Block until there may be something to collect. Moves no ticket and no report."""
        pipes = self.traffic.pipes
        if not pipes.awake:
            self._sleep(timeout_s)
        if pipes.awake:
            pipes.note_awake()

    def _sleep(self, timeout_s: float | None) -> None:
        limit_s = self.traffic.occupations.patience_s(timeout_s)
        again_at = self.crew.schedule.again_at
        if again_at:
            left_s = max(0.0, again_at - time.monotonic())
            limit_s = left_s if limit_s is None else min(limit_s, left_s)
        self._poll.poll(None if limit_s is None else max(0, int(limit_s * 1000) + 1))

    def alarmed(self) -> bool:
        """Whether a worker has ended, or may be past its time.

        Reports that are left in the pipe until they are needed are read several at a time.
        """
        schedule = self.crew.schedule
        is_due = bool(schedule.again_at) and schedule.is_due()
        return self._timed or is_due or bool(self.crew.ends.poll(0))

    def collect(self) -> list[Told]:
        """Everything that has come about: outcomes, and deaths of workers that held no ticket."""
        told, self._deaths = self._deaths, []
        traffic = self.traffic
        if self.crew.killed:  # these deaths are our own
            return told
        events = self._poll.poll(0)
        if events:
            seen = {fd for fd, _ in events}
            while self.crew.hears_zygote(seen):  # its end, before those that came of it
                self.crew.note_zygote()
                self._fill()
                seen = {fd for fd, _ in self._poll.poll(0)}  # some have other numbers now
            dead = self.crew.ended(seen)
            if dead:
                self._bury(dead, told)
            else:
                traffic.read(told)
        schedule = self.crew.schedule
        if schedule.again_at and schedule.is_due():
            self._fill()
        while schedule.shortages:
            told.append(schedule.shortages.pop(0))
        if self.crew.is_shrinking:
            self._see_off(told)
        if self.crew.hears_zygote(()):  # births, which were noted while workers were reaped
            self.crew.note_zygote()
        if traffic.ledger.unwritten:
            traffic.write()
        if self._timed:  # after the reports: who has answered is not late
            for number in traffic.occupations.overdue(time.monotonic_ns()):
                self.crew.end_overdue(number)
        return told

    def _bury(self, dead: list[WorkerProcess], told: list[Told]) -> None:
        blamed = self.traffic.lost_with({worker.number for worker in dead}, told)
        deaths = [(w, self.crew.bury(w, blamed=w.number in blamed)) for w in dead]
        self.crew.judge()
        self._fill()
        for worker, death in deaths:
            ticket = blamed.get(worker.number)
            if ticket is None and not death.pid:
                continue  # it was asked for, and a zygote that is gone has not borne it
            if worker.overdue or not worker.leaving:
                replaced = not (worker.leaving or self.crew.schedule.again_at)
                known = death._replace(replaced=replaced, failed=worker.failed)
                told.append(known if ticket is None else Lost(ticket, known))
            elif ticket is not None:  # it was told to end, so its batch is not to blame
                self.traffic.issue_again(ticket)

    # --- discard, stop ----------------------------------------------------------------------

    def discard(self, timeout_s: float | None = None) -> bool:
        """Discard what is in flight, and wait until no worker works; also returns when woken."""
        traffic = self.traffic
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        traffic.raise_floor()
        deaths: list[Told] = []
        woken = in_time = True
        while traffic.is_computing():
            for told in self.collect():
                if isinstance(told, ComputedBatch):
                    told.discard()
                elif isinstance(told, (Death, Lost, Shortage)):
                    deaths.append(told.death if isinstance(told, Lost) else told)
            traffic.ledger.unwritten.clear()  # what a death gave back
            in_time = deadline is None or time.monotonic() < deadline
            woken = traffic.pipes.awake or self.crew.killed
            if woken or not in_time or not traffic.is_computing():
                break
            left_s = None if deadline is None else deadline - time.monotonic()
            self._sleep(left_s if traffic.ledger.written else 0.01)
        self._deaths += deaths
        self.arenas.forget_sizes()
        self.crew.schedule.watch_memory()
        return in_time or woken

    def wake(self) -> None:
        """Make a wait return. Any thread, any signal handler."""
        self.traffic.pipes.wake()

    def kill(self) -> None:
        """SIGKILL for every worker. Any thread, any signal handler, a finalizer."""
        if os.getpid() == self._pid:
            self.crew.killed = True
            self.wake()
            self.crew.kill()

    def stop(self, timeout_s: float) -> None:
        """Let idle workers leave, give busy ones half of the time, then kill; close everything."""
        if self._closed:
            return
        deadline = time.monotonic() + timeout_s
        self.traffic.end()
        self.crew.end_births()
        self.crew.await_end(deadline - timeout_s / 2)
        self.close(max(0.1, deadline - time.monotonic()))
        reap_left_over(0.1)  # also those of an earlier pool, which took longer than they had

    def close(self, patience_s: float = 0.1) -> None:
        """Kill what still lives and close everything. Idempotent.

        A killed process needs some milliseconds to end; those that take longer than `patience_s`
        are reaped later. In a forked child only the child's own descriptors are closed.
        """
        if self._closed:
            return
        ours = os.getpid() == self._pid
        if ours:
            self.kill()
            self.crew.await_end(time.monotonic() + patience_s)
        # Every step may be repeated: interrupted, the next call begins again.
        self.crew.close()
        if ours:
            self.arenas.close()
        self.traffic.close()
        self._descriptors.close()
        self._closed = True

    def enter_child(self) -> None:
        """In a forked child: a worker of this pool closes the consumer's ends only. Those of the
        life pipes would keep the other workers alive, that of the ticket pipe this one."""
        if self._filling == threading.get_ident():
            self.crew.release_lives()
            self.traffic.pipes.end_tickets()
        elif self._pid != os.getpid():
            self.close()

    def check(self) -> None:
        """Assert what must hold between calls."""
        self.arenas.check()
        if self._closed:
            assert not self.crew.workers, f"closed, and has {self.crew.workers.keys()}"
            return
        self.crew.check()
        self.traffic.check()


def _kept_batches(workers: int, ahead: int) -> int:
    """Batches whose memory is used again: those ahead, and two for each worker."""
    return ahead + 2 * workers + 1
