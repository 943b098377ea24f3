"""Tickets out to the workers, reports back in: what passes over the pipes and stands in the table.

The rules are in the package's description (executors/process/__init__.py).
"""

from __future__ import annotations

import marshal
import os
import select
from typing import TYPE_CHECKING, Final

from seqloader.executors.process.consumer.birth import FirstState
from seqloader.executors.process.consumer.decode import ComputedBatch, Decoder
from seqloader.executors.process.consumer.ledger import EMPTY, Ledger
from seqloader.executors.process.consumer.occupations import Occupations
from seqloader.executors.process.consumer.pipes import READ_BYTES, Pipes
from seqloader.executors.process.consumer.starts import start_failure
from seqloader.executors.process.wire import failures
from seqloader.executors.process.wire.layouts import DEFINES
from seqloader.executors.process.wire.records import (
    COMPUTED,
    FAILED,
    LEFT,
    NOTICED,
    RAISED,
    READY,
    REPORT,
    TICKET,
    Report,
)
from seqloader.executors.process.wire.table import (
    FIRST_OFFSET,
    FIRST_VERSION,
    FLOOR,
    LEAVE,
    OWNER,
    ROW_WORDS,
    SERVES,
    TABLE_BYTES,
    TAKEN,
    Table,
)
from seqloader.memory.descriptors import Descriptors
from seqloader.randomness.drawn_values import Noticed
from seqloader.tickets import Death, Outcome, Raised, Shortage, Ticket, Worked

if TYPE_CHECKING:
    from seqloader.executors.process.consumer.arena import Arenas, ArenaView
    from seqloader.executors.process.consumer.crew import Crew
    from seqloader.executors.process.consumer.worker import WorkerProcess
    from seqloader.executors.process.wire.settings import PoolSettings

__all__ = ["Told", "Traffic"]

Told = Outcome | Death | Shortage | Noticed
"""What is handed out to the enqueuer."""
RECORDS_AT_ONCE: Final = select.PIPE_BUF // TICKET.size
ABOVE_EVERYTHING: Final = (1 << 64) - 1


class Traffic:
    """The tickets and reports of one pool.

    Args:
        crew: who takes the tickets.
        arenas: in which what is reported lies.
        poll: the consumer's one wait.
        timeout_s: seconds one ticket may take; None: no limit.
        copy: batches with private arrays instead of views.
    """

    def __init__(
        self, crew: Crew, arenas: Arenas, poll: select.poll, timeout_s: float | None, copy: bool
    ) -> None:
        self.state = (0, 0)
        """Version and offset of the state that tickets ask for."""
        self.ledger = Ledger()
        self.occupations = Occupations(crew.workers, self.ledger, timeout_s)
        self.pipes = Pipes()
        self._crew = crew
        self._arenas = arenas
        self._decoder = Decoder(arenas, copy)
        self._table: Table | None = None
        self._descriptors = Descriptors()
        self.owner = 0
        """Whose traffic this is, for the table."""
        self._gate = -1, -1
        """Ends of a pipe, while workers wait for a state that is not published yet."""
        self._poll = poll
        self._polls_room = False
        self._worked = Worked()
        """When the table was closed."""

    # --- begin and end ----------------------------------------------------------------------

    def open(self, settings: PoolSettings, state: tuple[int, int], ahead: int) -> PoolSettings:
        """Make pipes and table, with room for so many tickets. Returns the settings with them.

        Version 0: there is no state yet, and workers wait for `open_gate`.
        """
        self.state = state
        pipes = self.pipes
        pipes.open(ahead)
        table_fd = self._descriptors.memory("seqloader-table")
        os.ftruncate(table_fd, TABLE_BYTES)
        self._table = Table(table_fd)
        self.occupations.words = self._table.words
        self._table.words[OWNER] = self.owner
        if settings.state >= 0 and not state[0]:
            self._gate = self._descriptors.pipe()
        for fd in pipes.descriptors():
            self._poll.register(fd, select.POLLIN)
        return settings._replace(
            tickets=pipes.ticket_read, reports=pipes.report_write, table=table_fd
        )

    def first_state(self) -> FirstState:
        """What a worker that is started now loads first."""
        return FirstState(*self.state, self._gate[0])

    def open_gate(self, state: tuple[int, int]) -> None:
        """The first state is published: workers that wait for it may load it."""
        assert self._table is not None
        self.state = state
        self._table.words[FIRST_VERSION], self._table.words[FIRST_OFFSET] = state
        self._crew.note_first_state(state[0])
        os.write(self._gate[1], b"\0")  # nobody reads it: it is there for all
        self._close_gate()

    def _close_gate(self) -> None:
        for end in self._gate:
            self._descriptors.close_one(end)
        self._gate = -1, -1

    def end(self) -> None:
        """No more tickets: idle workers leave, busy ones when they have answered."""
        if self._table is not None:
            self._table.words[FLOOR] = ABOVE_EVERYTHING
        self._close_gate()
        self.pipes.end_tickets()

    def close(self) -> None:
        """Close all; there are no workers any more. Idempotent."""
        self.pipes.close()
        self._worked = self.worked()
        self.occupations.words = ()
        table, self._table = self._table, None
        if table is not None:
            table.close()
        self._gate = -1, -1
        self._descriptors.close()

    def worked(self) -> Worked:
        """What computing has taken all workers so far, also after the end. Any thread."""
        try:
            now = self.occupations.worked(self._crew.rows)
        except ValueError:  # another thread closes the table
            return self._worked
        return now if self._table is not None else self._worked

    def dismiss(self, leaving: dict[int, WorkerProcess]) -> None:
        """Tell workers to leave after what they work on. Who waits for a ticket need not wait; who
        takes none yet is still starting, and has nothing that could be lost."""
        assert self._table is not None
        words = self._table.words
        for number, worker in leaving.items():
            words[number * ROW_WORDS + LEAVE] = 1
            if words[number * ROW_WORDS + TAKEN]:
                worker.nudged = False
            elif words[number * ROW_WORDS + SERVES]:
                worker.nudge()
            else:
                worker.kill()

    # --- tickets ----------------------------------------------------------------------------

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket; it is written at once if there is room."""
        ledger, pipes = self.ledger, self.pipes
        if ledger.unwritten or len(ledger.written) >= pipes.room:
            ledger.unwritten.append(ticket)
            self.write()
            return
        # The same for the one ticket that is issued for each batch: what the consumer pays.
        serial = ledger.next_serial
        self._arenas.settle(serial)
        if pipes.send(TICKET.pack(serial, *ticket, *self.state)):
            ledger.write(ticket)
        else:
            ledger.unwritten.append(ticket)
            self._poll_room(True)

    def write(self) -> None:
        """Write the tickets that wait, as far as there is room."""
        ledger, pipes = self.ledger, self.pipes
        self._arenas.settle(ledger.next_serial)
        unwritten = ledger.unwritten
        while unwritten:
            count = min(len(unwritten), RECORDS_AT_ONCE, pipes.room - len(ledger.written))
            if count <= 0:
                break  # reports come first; whoever reads them goes on
            serial = ledger.next_serial
            records = b"".join(
                TICKET.pack(serial + n, *ticket, *self.state)
                for n, ticket in zip(range(count), unwritten, strict=False)
            )
            if not pipes.send(records):
                self._poll_room(True)
                return
            for _ in range(count):
                ledger.write(unwritten.popleft())
        self._poll_room(False)

    def _poll_room(self, wanted: bool) -> None:
        if wanted != self._polls_room:
            if wanted:
                self._poll.register(self.pipes.ticket_write, select.POLLOUT)
            else:
                self._poll.unregister(self.pipes.ticket_write)
            self._polls_room = wanted

    def follow(self, state: tuple[int, int]) -> None:
        """Ask for `state` from now on, and have idle workers load it at once.

        A worker lets go of an old state when it takes a ticket of the new one. In short epochs some
        take none, and old states would pile up: so there is one empty ticket for each.
        """
        self.state = state
        for _ in self._crew.workers:
            self.submit(EMPTY)

    def raise_floor(self) -> None:
        """Have every ticket so far thrown away by whoever takes it."""
        assert self._table is not None
        self.ledger.unwritten.clear()
        self._table.words[FLOOR] = self.ledger.next_serial

    def is_computing(self) -> bool:
        """Whether a ticket that was written is not answered, or is still noted by a worker.

        One that was called lost while a living worker was about to note it is unknown to the
        ledger, and its answer wakes nobody who waits for known ones.
        """
        return bool(self.ledger.written) or self.occupations.anyone_works()

    # --- reports ----------------------------------------------------------------------------

    def read(self, told: list[Told]) -> None:
        """Read all reports; adds what is to be handed out."""
        crew, receive, answer = self._crew, self.pipes.receive, self.ledger.answer
        views, workers, decoder = self._arenas.views, crew.workers, self._decoder
        while data := receive():
            for fields in REPORT.iter_unpack(data):
                number, layout, kind = fields[10], fields[6], fields[11]
                view, worker = views[number], workers[number]
                if not worker.answered and kind != READY:
                    crew.note_answer(worker)
                if kind != COMPUTED:
                    self._note(Report._make(fields), view, told)
                    continue
                if layout & DEFINES:
                    decoder.define(view, fields)
                ticket = answer(fields[0])
                if ticket is None:  # computed twice, or given up
                    decoder.discard(view, fields)
                else:
                    told.append(ComputedBatch(ticket, worker.slot, fields, view, decoder))
            if len(data) < READ_BYTES:
                break

    def _note(self, report: Report, view: ArenaView, told: list[Told]) -> None:
        worker = self._crew.workers[report.worker]
        if report.kind == READY:
            worker.note_ready()
            return
        if report.kind == LEFT:
            worker.left = True
            return
        data = self._take(report, view)
        if report.kind == NOTICED:
            if data:  # else the worker had no memory for it
                told.append(Noticed._make(marshal.loads(data)))
            return
        ticket = self.ledger.answer(report.serial)
        if report.kind not in (RAISED, FAILED):
            return
        error = failures.unpack(data) if data else _no_memory()
        if report.kind == FAILED:
            raise start_failure(worker.slot, worker.pid, error)
        if ticket is not None:
            times = report.busy_s, report.taken_ns, report.take_s, report.encode_s
            told.append(Raised(ticket, worker.slot, error, worker.pid, *times))

    def _take(self, report: Report, view: ArenaView) -> bytes:
        """What lies in the block of a report that is no batch; the block is given back."""
        if not report.block:
            return b""
        data = view.read(report.offset, report.nbytes)
        self._arenas.release(view, report.block)
        return data

    # --- deaths -----------------------------------------------------------------------------

    def lost_with(self, dead: set[int], told: list[Told]) -> dict[int, Ticket]:
        """Find out what died with these workers: their numbers, and the tickets that they had
        noted. Tickets that were lost otherwise are written again."""
        # The order is that of the ledger's rule R3: deaths, pipe, table, reports.
        in_pipe = self.pipes.tickets_inside()
        noted = self.occupations.noted(self._crew.workers)
        taken = {number: noted.pop(number) for number in dead}
        self.read(told)
        verdict = self.ledger.bury(in_pipe=in_pipe, held={*noted.values()}, taken=taken)
        again = [ticket for ticket in verdict.again if ticket is not EMPTY]
        self.ledger.unwritten.extendleft(reversed(again))
        return {n: ticket for n, ticket in verdict.blamed.items() if ticket is not EMPTY}

    def issue_again(self, ticket: Ticket) -> None:
        """Lost, and nobody is to blame: it is written again, first."""
        self.ledger.unwritten.appendleft(ticket)

    def check(self) -> None:
        """Assert what must hold between calls."""
        ledger, pipes = self.ledger, self.pipes
        ledger.check()
        assert len(ledger.written) <= pipes.room, (len(ledger.written), pipes.room)
        assert ledger.unwritten or not self._polls_room, "waits for room, and for nothing to write"
        for number, serial in self.occupations.noted(self._crew.workers).items():
            assert serial < ledger.next_serial, f"worker {number} has {serial}, never written"


def _no_memory() -> MemoryError:
    return MemoryError(
        "the worker ran out of memory, and could not even write down where: use fewer "
        "workers, a smaller max_queue_size or smaller batches"
    )
