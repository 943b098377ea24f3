"""A pool: one set of pipes, table, arenas and workers. Made by a start, thrown away whole.

The rules are in the package's description (executors/process/__init__.py). Nothing here survives
an asynchronous exception in the middle of a step: the caller then makes a new pool.
"""

from __future__ import annotations

import marshal
import os
import select
import time
from typing import TYPE_CHECKING

from seqloader.executors.process.consumer import forks, occupations
from seqloader.executors.process.consumer.arena import Arenas, ArenaView
from seqloader.executors.process.consumer.crew import Crew, PoolOptions
from seqloader.executors.process.consumer.decode import ComputedBatch, Decoder
from seqloader.executors.process.consumer.ledger import EMPTY, Ledger
from seqloader.executors.process.consumer.pipes import ROOM_TO_WRITE, Pipes
from seqloader.executors.process.consumer.starts import (
    Starts,
    cannot_launch,
    died_too_often,
    start_failure,
)
from seqloader.executors.process.consumer.watchdog import Watchdog
from seqloader.executors.process.consumer.worker import WorkerProcess, reap_forsaken
from seqloader.executors.process.wire import failures
from seqloader.executors.process.wire.layouts import DEFINES
from seqloader.executors.process.wire.records import (
    COMPUTED,
    FAILED,
    NOTICED,
    RAISED,
    READY,
    REPORT,
    TICKET,
    Report,
)
from seqloader.executors.process.wire.table import (
    ACKNOWLEDGED,
    FIRST_OFFSET,
    FIRST_VERSION,
    FLOOR,
    ROW_WORDS,
    TABLE_BYTES,
    TAKEN,
    Table,
)
from seqloader.memory.descriptors import Descriptors
from seqloader.randomness.drawn_values import Noticed
from seqloader.tickets import Death, Lost, Outcome, Raised, Ticket

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Pool"]

Told = Outcome | Death | Noticed
"""What `collect` hands out."""
RECORDS_AT_ONCE = select.PIPE_BUF // TICKET.size


class Pool:
    """Workers and everything that ties them to the consumer."""

    def __init__(self, options: PoolOptions) -> None:
        self.pid = os.getpid()
        self.options = options
        self.arenas = Arenas(options.tickets_ahead + 2 * options.workers + 1)
        self.crew = Crew(options, self.arenas)
        self._deaths: list[Told] = []
        """Noticed while tickets were discarded, to be told of by the next `collect`."""
        self._awake = False
        self._killed = False
        self.state = (0, 0)
        """Version and offset of the state that tickets ask for."""
        self._ledger = Ledger()
        self._decoder = Decoder(self.arenas, options.copy)
        self._starts = Starts()
        self._watchdog = Watchdog(options.timeout_s)
        self._timed = options.timeout_s is not None
        self._descriptors = Descriptors()
        self._pipes: Pipes | None = None
        self._table: Table | None = None
        self._settings_fd = -1
        self._settings = options.settings
        self._gate_ends = Descriptors()
        self._gate = -1, -1
        """Ends of a pipe, while workers wait for a state that is not published yet."""
        self._poll = select.poll()
        self._deaths_poll = select.poll()
        """The part of it that watches over the workers."""
        self._polls_room = False
        self._closed = False

    # --- start ----------------------------------------------------------------------------

    def open(self, state: tuple[int, int], state_fd: int, passed: Collection[int] = ()) -> None:
        """Make pipes and table, and launch the workers, which load `state` first.

        Version 0: there is no state yet. They wait for `release`. `passed`: the descriptors of the
        user's that workers inherit.
        """
        try:
            self._open(state, state_fd, passed)
        except OSError as error:
            raise cannot_launch(error) from error

    def _open(self, state: tuple[int, int], state_fd: int, passed: Collection[int]) -> None:
        reap_forsaken()
        forks.watch(self)
        self.state = state
        pipes = self._pipes = Pipes()  # known before anything is open
        pipes.open(self.options.tickets_ahead)
        table_fd = self._descriptors.memory("seqloader-table")
        os.ftruncate(table_fd, TABLE_BYTES)
        self._table = Table(table_fd)
        self._settings = self.options.settings._replace(
            tickets=pipes.ticket_read,
            reports=pipes.report_write,
            table=table_fd,
            state=state_fd,
            passed=sorted(passed),
        )
        self._settings_fd = self._descriptors.memory("seqloader-settings")
        os.write(self._settings_fd, self._settings.dumps())
        for fd in pipes.descriptors():
            self._poll.register(fd, select.POLLIN)
        if state_fd >= 0 and not state[0]:
            self._gate = self._gate_ends.pipe()
        for slot in range(self.options.workers):
            self._launch(slot)

    def release(self, state: tuple[int, int]) -> None:
        """The state is published: workers that wait for it may load it."""
        assert self._table is not None
        self.state = state
        self._table.words[FIRST_VERSION], self._table.words[FIRST_OFFSET] = state
        ended = {fd for fd, _ in self._deaths_poll.poll(0)}
        for worker in self.crew.workers.values():
            worker.excused = worker.watch in ended
            worker.version = state[0]
            worker.born_ns = time.monotonic_ns()  # what came before took the consumer's time
        os.write(self._gate[1], b"\0")  # nobody reads it: it is there for all
        self._close_gate()

    def _close_gate(self) -> None:
        self._gate = -1, -1
        self._gate_ends.close()

    def _launch(self, slot: int) -> None:
        if self._killed:  # a stop came in the middle of a start
            return
        try:
            first = (*self.state, self._gate[0])
            forks.launch(self)
            worker = self.crew.launch(slot, self._settings, self._settings_fd, first)
        except OSError as error:
            raise cannot_launch(error) from error
        finally:
            forks.launch(None)
        self._poll.register(worker.watch, select.POLLIN)
        self._deaths_poll.register(worker.watch, select.POLLIN)

    # --- tickets --------------------------------------------------------------------------

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket; it is written at once if there is room."""
        ledger, pipes = self._ledger, self._pipes
        assert pipes is not None
        if ledger.unwritten or len(ledger.written) >= pipes.room:
            ledger.unwritten.append(ticket)
            self._write_tickets()
            return
        # The same for the one ticket that is issued for each batch: what the consumer pays.
        serial = ledger.next_serial
        self.arenas.settle(serial)
        if pipes.send(TICKET.pack(serial, *ticket, *self.state)):
            ledger.write(ticket)
        else:
            ledger.unwritten.append(ticket)
            self._poll_room(True)

    def _write_tickets(self) -> None:
        ledger, pipes = self._ledger, self._pipes
        assert pipes is not None
        self.arenas.settle(ledger.next_serial)
        unwritten = ledger.unwritten
        version, offset = self.state
        while unwritten:
            count = min(len(unwritten), RECORDS_AT_ONCE, pipes.room - len(ledger.written))
            if count <= 0:
                break  # reports come first; collect() goes on
            serial = ledger.next_serial
            records = b"".join(
                TICKET.pack(serial + n, *t, version, offset)
                for n, t in zip(range(count), unwritten, strict=False)
            )
            if not pipes.send(records):
                self._poll_room(True)
                return
            for _ in range(count):
                ledger.write(unwritten.popleft())
        self._poll_room(False)

    def _poll_room(self, wanted: bool) -> None:
        if wanted != self._polls_room and self._pipes is not None:
            if wanted:
                self._poll.register(self._pipes.ticket_write, ROOM_TO_WRITE)
            else:
                self._poll.unregister(self._pipes.ticket_write)
            self._polls_room = wanted

    # --- wait and collect -----------------------------------------------------------------

    def wait(self, timeout_s: float | None) -> None:
        """Block until there may be something to collect. Moves no ticket and no report."""
        assert self._pipes is not None
        if not self._awake:
            self._sleep(timeout_s)
        if self._awake:
            self._pipes.note_awake()
            self._awake = False

    def _sleep(self, timeout_s: float | None) -> None:
        limit_s = self._watchdog.patience_s(timeout_s)
        self._poll.poll(None if limit_s is None else max(0, int(limit_s * 1000) + 1))

    def alarmed(self) -> bool:
        """Whether a worker has ended, or may be past its time.

        Reports that are left in the pipe until they are needed are read several at a time.
        """
        return self._timed or bool(self._deaths_poll.poll(0))

    def collect(self) -> list[Told]:
        """Everything that has come about: outcomes, and deaths of workers that held no ticket."""
        assert self._pipes is not None
        outcomes: list[Told] = self._deaths
        self._deaths = []
        if self._killed:  # these deaths are our own
            return outcomes
        events = self._poll.poll(0)
        if events:
            self._heed(events, outcomes)
        if self._timed:
            self._kill_overdue()  # after the reports: who has answered is not late
        return outcomes

    def _heed(self, events: list[tuple[int, int]], outcomes: list[Told]) -> None:
        assert self._pipes is not None
        report_fd = self._pipes.report_read
        ended = {fd for fd, _ in events} - {report_fd}
        if ended and (dead := [w for w in self.crew.workers.values() if w.watch in ended]):
            self._bury(dead, outcomes)
        else:
            self._drain(outcomes)
        if self._ledger.unwritten:
            self._write_tickets()

    def _drain(self, outcomes: list[Told]) -> None:
        pipes, answer, workers = self._pipes, self._ledger.answer, self.crew.workers
        assert pipes is not None
        views, decoder, make = self.arenas.views, self._decoder, Report._make
        while data := pipes.receive():
            for fields in REPORT.iter_unpack(data):
                number, layout, kind = fields[6], fields[8], fields[9]
                arena = views[number]
                if kind != COMPUTED:
                    self._note(make(fields), arena, outcomes)
                    continue
                if layout & DEFINES:
                    decoder.define(arena, fields)
                worker = workers[number]
                if not worker.answered:
                    worker.answered = True
                    self._starts.works()
                ticket = answer(fields[0])
                if ticket is None:  # computed twice, or given up
                    decoder.discard(arena, fields)
                    continue
                outcomes.append(ComputedBatch(ticket, worker.slot, fields, arena, decoder))
            if outcomes:
                self._starts.answered()
            if len(data) < 65_536:
                break

    def _note(self, report: Report, arena: ArenaView, outcomes: list[Told]) -> None:
        worker = self.crew.workers[report.worker]
        if report.kind == READY:
            worker.note_ready()
            return
        if not worker.answered:
            worker.answered = True
            self._starts.works()
        if report.kind == NOTICED:
            outcomes.extend(self._read_noticed(report, arena))
            return
        ticket = self._ledger.answer(report.serial)
        error = self._read_error(report, arena) if report.kind in (RAISED, FAILED) else None
        if report.kind == RAISED and ticket is not None and error is not None:
            outcomes.append(Raised(ticket, worker.slot, error, worker.pid, report.busy_ns / 1e9))
        elif report.kind == FAILED and error is not None:
            raise start_failure(worker.slot, worker.pid, error)

    def _read_noticed(self, report: Report, arena: ArenaView) -> list[Noticed]:
        if not report.block:  # the worker had no memory for it
            return []
        data = arena.read(report.offset, report.nbytes)
        self.arenas.release(arena, report.block)
        return [Noticed._make(marshal.loads(data))]

    def _read_error(self, report: Report, arena: ArenaView) -> BaseException:
        if not report.block:
            return MemoryError(
                "the worker ran out of memory, and could not even write down where: use fewer "
                "workers, a smaller max_queue_size or smaller batches"
            )
        data = arena.read(report.offset, report.nbytes)
        self.arenas.release(arena, report.block)
        return failures.unpack(data)

    # --- deaths ---------------------------------------------------------------------------

    def _bury(self, dead: list[WorkerProcess], outcomes: list[Told]) -> None:
        # The order is that of the ledger's rule R3: deaths, pipe, table, reports.
        assert self._pipes is not None and self._table is not None
        in_pipe = self._pipes.tickets_inside()
        gone = {worker.number for worker in dead}
        words = self._table.words
        held = {words[n * ROW_WORDS + TAKEN] for n in self.crew.workers if n not in gone}
        taken = {n: words[n * ROW_WORDS + TAKEN] for n in gone}
        self._drain(outcomes)
        verdict = self._ledger.bury(in_pipe=in_pipe, held=held, taken=taken)
        again = [ticket for ticket in verdict.again if ticket is not EMPTY]
        self._ledger.unwritten.extendleft(reversed(again))
        for worker in dead:
            self._poll.unregister(worker.watch)
            self._deaths_poll.unregister(worker.watch)
            death = worker.reap()
            blamed = verdict.blamed.get(worker.number)
            blamed = None if blamed is EMPTY else blamed
            outcomes.append(death if blamed is None else Lost(blamed, death))
            del self.crew.workers[worker.number]
            self.arenas.retire(worker.number)
            start_errors = "" if worker.ready else worker.start_errors()
            worker.close()
            excused = blamed is not None or worker.answered or worker.excused
            if not excused and self._starts.died():
                count = self._starts.in_a_row
                raise died_too_often(count, death, ready=worker.ready, start_errors=start_errors)
            self._launch(worker.slot)

    def _kill_overdue(self) -> None:
        assert self._table is not None
        overdue = occupations.overdue(self._watchdog, self.crew, self._table, self._ledger)
        for number in overdue:
            self.crew.workers[number].kill_overdue()

    def holder(self, ticket: Ticket) -> tuple[int, int] | None:
        """(slot, process id) of the worker that computes a ticket now."""
        if self._table is None:
            return None
        return occupations.holder(ticket, self.crew, self._table, self._ledger)

    def busy(self) -> list[str]:
        """Which workers compute something or are not ready yet, in words."""
        return [] if self._table is None else occupations.busy(self.crew, self._table, self._ledger)

    # --- discard, stop --------------------------------------------------------------------

    def discard(self, timeout_s: float | None = None) -> bool:
        """Drop what is in flight, and wait until no worker works; also returns when woken."""
        assert self._table is not None
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._ledger.unwritten.clear()
        self._table.words[FLOOR] = self._ledger.next_serial
        deaths: list[Told] = []
        woken = in_time = True
        while self._ledger.written or self._at_work():
            for outcome in self.collect():
                if isinstance(outcome, ComputedBatch):
                    outcome.discard()
                elif isinstance(outcome, (Death, Lost)):
                    deaths.append(outcome if isinstance(outcome, Death) else outcome.death)
            self._ledger.unwritten.clear()  # what a death gave back
            in_time = deadline is None or time.monotonic() < deadline
            woken = self._awake or self._killed
            if woken or not in_time or not (self._ledger.written or self._at_work()):
                break
            left_s = None if deadline is None else deadline - time.monotonic()
            self._sleep(left_s if self._ledger.written else 0.01)
        self._deaths = deaths
        self.arenas.forget_sizes()
        return in_time or woken

    def _at_work(self) -> bool:
        # A ticket that was called lost while a living worker was about to note it is unknown to
        # the ledger, and its answer wakes nobody who waits for known ones.
        assert self._table is not None
        words = self._table.words
        return any(words[number * ROW_WORDS + TAKEN] for number in self.crew.workers)

    def acknowledged(self) -> list[int]:
        """For each living worker, the oldest state it may still have mapped."""
        assert self._table is not None
        words = self._table.words
        return [
            max(words[worker.number * ROW_WORDS + ACKNOWLEDGED], worker.version)
            for worker in self.crew.workers.values()
        ]

    def follow(self, state: tuple[int, int]) -> None:
        """Ask for `state` from now on, and have idle workers load it at once.

        A worker lets go of an old state when it takes a ticket of the new one. In short epochs some
        take none, and old states would pile up: so there is one empty ticket for each.
        """
        self.state = state
        for _ in self.crew.workers:
            self.submit(EMPTY)

    def wake(self) -> None:
        """Make a wait return."""
        self._awake = True
        pipes = self._pipes
        if pipes is not None:
            pipes.wake()

    def kill(self) -> None:
        """SIGKILL for every worker. Any thread, any signal handler, a finalizer."""
        if os.getpid() == self.pid:
            self._killed = True
            self.wake()
            self.crew.kill()

    def stop(self, timeout_s: float) -> None:
        """Let idle workers leave, give busy ones half of the time, then kill; close everything."""
        if self._closed:
            return
        deadline = time.monotonic() + timeout_s
        if self._pipes is not None and self._table is not None:
            self._table.words[FLOOR] = (1 << 64) - 1
            self._close_gate()
            self._pipes.end_tickets()
            self.crew.await_end(deadline - timeout_s / 2)
        self.close(max(0.1, deadline - time.monotonic()))
        reap_forsaken()  # those of an earlier pool, which took longer than they were given

    def close(self, patience_s: float = 0.1) -> None:
        """Kill what still lives and let go of everything. Idempotent. In a forked child it closes the
        child's own descriptors, and touches nothing else.

        A killed process needs some milliseconds to end; those that take longer than `patience_s`
        are reaped later.
        """
        if self._closed:
            return
        if os.getpid() == self.pid:
            self.kill()
            self.crew.await_end(time.monotonic() + patience_s)
        self._release()

    def enter_worker(self) -> None:
        """In a worker that was forked: close the consumer's ends. Those of the life pipes would
        keep the other workers alive, that of the ticket pipe this one."""
        self.crew.let_go()
        if self._pipes is not None:
            self._pipes.end_tickets()

    def _release(self) -> None:
        # Every step may be repeated: interrupted, the next call begins again.
        self.crew.close()
        if os.getpid() == self.pid:
            self.arenas.close()
        if self._pipes is not None:
            self._pipes.close()
        table, self._table = self._table, None  # a closed one must not be asked
        if table is not None:
            table.close()
        self._close_gate()
        self._descriptors.close()
        self._closed = True
