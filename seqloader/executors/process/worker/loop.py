"""The loop of a worker: take a ticket, compute its batch, write it into a block, report.

Rules
    R1  The ticket is noted in the table before anything else is done with it, so that a death
        names its batch.
    R2  The floor is looked at after the ticket was noted: either the consumer sees the note, or
        the worker sees the floor.
    R3  Every ticket taken is answered by one report, a thrown-away one too; or the worker dies.
    R4  A report is one write of one record.
    R5  A process that user code forked from here never answers: it leaves by `os._exit`.
    R6  It leaves when its tickets end, or when its row says so: after the ticket that it works on,
        or out of the wait for one, which a signal cuts short. Between reading a ticket and noting
        it that signal may cut as well: then the ticket is lost as with a death, at no cost. Who
        leaves so reports LEFT as the last: the consumer does not wait for its end.
"""

from __future__ import annotations

import marshal
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.errors import as_raisable
from seqloader.executors.computing import Computing
from seqloader.executors.process.wire import failures
from seqloader.executors.process.wire.records import (
    COMPUTED,
    DROPPED,
    EMPTY_ATTEMPT,
    FAILED,
    LEFT,
    NOTICED,
    RAISED,
    RECORD_BYTES,
    REPORT,
    TICKET,
)
from seqloader.executors.process.wire.settings import LEAVE_SIGNAL
from seqloader.executors.process.wire.table import (
    ACKNOWLEDGED,
    ANSWERED,
    BUSY,
    CPU,
    ENCODED,
    EPOCH,
    FLOOR,
    INDEX,
    LEAVE,
    PID,
    POSITION,
    ROW_WORDS,
    SERVES,
    SINCE,
    SLOT,
    TAKEN,
)
from seqloader.executors.process.worker.arena import Arena
from seqloader.executors.process.worker.encode import NO_BLOCK, Encoded, Encoder
from seqloader.executors.process.worker.script import explain
from seqloader.executors.process.worker.state import StateLoader
from seqloader.randomness.drawn_values import Watch
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from types import FrameType

    from seqloader.executors.process.wire.settings import PoolSettings, WorkerSettings
    from seqloader.randomness.seeding import Seeding

__all__ = ["Loop"]

LOADING_NS: Final = 120 * 10**9
"""Time that loading a new state may take beyond `timeout_s` before it counts as stuck."""
SHORT_NS: Final = 200_000
"""A ticket that took less has hardly waited for anything: it counts as CPU time, since the clock of
the process costs a microsecond or two."""
SPARE_BYTES: Final = 65_536
"""Reserved at the start, so that a worker out of memory can still say so."""


class _Times(NamedTuple):
    """Of a ticket, as a `Report` has them."""

    taken_ns: int = 0
    busy_s: float = 0.0
    take_s: float = 0.0
    encode_s: float = 0.0


_NO_TIMES: Final = _Times()


class _Leave(BaseException):
    """Raised out of the wait for a ticket."""


class Loop:
    """One worker's loop and what it works with.

    Args:
        pool, own: what the worker was told.
        words: of the table.
        seeding: how batches are seeded.
    """

    def __init__(
        self, pool: PoolSettings, own: WorkerSettings, words: memoryview, seeding: Seeding
    ) -> None:
        self._tickets = pool.tickets
        self._reports = pool.reports
        self._number = own.number
        self._floor = words[FLOOR : FLOOR + 1]
        self._row = words[own.number * ROW_WORDS : (own.number + 1) * ROW_WORDS]
        self.arena = Arena(own.arena, own.arena_bytes)
        self._encoder = Encoder(self.arena)
        self._loader: StateLoader | None = None
        if pool.state >= 0:
            self._loader = StateLoader(pool.state, own.shared, pool.parent.pid)
        self._seeding = seeding
        self._computing: Computing | None = None
        self._watch = Watch()
        self._version = 0
        self._acknowledged = 0
        self._cpu_ns = 0
        """By the clock of the process, until when it is in the table."""
        self._spare: Any = None
        self._pid = os.getpid()
        self._row[SLOT] = own.slot
        self._row[PID] = self._pid

    def adopt(self, sequence: Any, version: int) -> None:
        """Work on a Sequence that was inherited by fork."""
        self._take_up(sequence, version)
        self._version = self._acknowledged = self._row[ACKNOWLEDGED] = version

    def load(self, version: int, offset: int) -> None:
        """Work on the state that was published as `version`."""
        assert self._loader is not None, "an inherited Sequence is never loaded"
        self._computing = None  # let go of the old mappings before new ones are made
        self._watch.forget()
        self._take_up(self._loader.load(version, offset), version)
        self._version = version
        self._acknowledge()

    def _take_up(self, sequence: Any, version: int) -> None:
        seeding = self._seeding
        seeded = seeding.reseed_globals
        self._computing = Computing(sequence, seeding, seeded=seeded, worker=True, version=version)

    def _acknowledge(self) -> None:
        if self._loader is not None:
            self._acknowledged = self._loader.acknowledged()
            self._row[ACKNOWLEDGED] = self._acknowledged

    def serve(self) -> None:
        """Answer tickets until the pipe ends, or this worker is to leave."""
        signal.signal(LEAVE_SIGNAL, self._leave_if_idle)
        self._cpu_ns = time.process_time_ns()
        self._row[SERVES] = 1
        try:
            self._serve()
        except _Leave:
            pass
        finally:
            # Not the default, by which a late signal would end the process. And the table of
            # handlers keeps nothing of the user's alive until the interpreter's last moments.
            signal.signal(LEAVE_SIGNAL, signal.SIG_IGN)
        if self._row[LEAVE]:
            self.report(0, LEFT)

    def _leave_if_idle(self, signum: int, frame: FrameType | None) -> None:
        # Nothing of the user's is cut short, nor a finalizer that runs between two bytecodes.
        row, is_ours = self._row, frame is not None and frame.f_code is _SERVING
        if is_ours and row[LEAVE] and not row[TAKEN]:
            raise _Leave

    def _serve(self) -> None:
        read, unpack, now = os.read, TICKET.unpack, time.monotonic_ns
        tickets, row, floor = self._tickets, self._row, self._floor
        while not row[LEAVE] and (record := read(tickets, RECORD_BYTES)):
            serial, epoch, position, index, attempt, padding, version, offset = unpack(record)
            started = now()
            row[SINCE] = started
            row[EPOCH] = epoch
            row[POSITION] = position
            row[INDEX] = index
            row[TAKEN] = serial
            if serial < floor[0]:
                self.report(serial, DROPPED)
            elif version == self._version or self._follow(serial, version, offset):
                if attempt == EMPTY_ATTEMPT:
                    self.report(serial, DROPPED)
                else:
                    ticket = Ticket(epoch, position, index, attempt, bool(padding))
                    self._answer(serial, ticket, started)
            row[TAKEN] = 0
            if self._acknowledged != self._version:
                self._acknowledge()

    def _follow(self, serial: int, version: int, offset: int) -> bool:
        row = self._row
        row[SINCE] += LOADING_NS  # `timeout_s` is for computing
        try:
            self.load(version, offset)
            row[SINCE] = time.monotonic_ns()
            self._cpu_ns = time.process_time_ns()
        except BaseException as error:
            self.report_failure(serial, error)
            return False
        return True

    def _answer(self, serial: int, ticket: Ticket, started: int) -> None:
        arena, now = self.arena, time.monotonic_ns
        arena.taken = serial
        computing, watch = self._computing, self._watch
        computed = 0
        assert computing is not None, "nothing was loaded"
        try:
            box = [computing.compute(ticket, watch)]
            self._leave_if_forked()
            while watch.noticed:
                self.report_packed(0, NOTICED, marshal.dumps(tuple(watch.noticed.pop())))
            computed = now()
            encoded = self._encoder.encode(box)
        except BaseException as error:
            self._leave_if_forked()
            computed = computed or now()
            explain(error)
            # Here, where its traceback still says whose function raised it.
            packed = failures.pack(as_raisable(error))
            del error
            self.report_packed(serial, RAISED, packed, self._times(started, computed))
            return
        self.report(serial, COMPUTED, self._times(started, computed), encoded)

    def _note_cpu(self, busy_ns: int) -> None:
        """Note the CPU time of a ticket that took so long. Whoever wants to know reads the table:
        in a report it would cost the consumer something for every batch."""
        if busy_ns < SHORT_NS:
            used = busy_ns
            self._cpu_ns += busy_ns
        else:
            before, self._cpu_ns = self._cpu_ns, time.process_time_ns()
            used = max(0, self._cpu_ns - before)
        self._row[CPU] += used

    def _times(self, taken_ns: int, computed_ns: int) -> _Times:
        """Of the ticket that is answered now; counted in the table as well."""
        row, answered_ns = self._row, time.monotonic_ns()
        busy_ns = answered_ns - taken_ns
        row[ANSWERED] += 1
        row[BUSY] += busy_ns
        row[ENCODED] += answered_ns - computed_ns
        self._note_cpu(busy_ns)
        take_ns = row[SINCE] - taken_ns  # it was set anew where a state was loaded
        return _Times(taken_ns, busy_ns * 1e-9, take_ns * 1e-9, (answered_ns - computed_ns) * 1e-9)

    def report(
        self, serial: int, kind: int, times: _Times = _NO_TIMES, encoded: Encoded = NO_BLOCK
    ) -> None:
        """Report on a ticket; or, with serial 0, on this worker."""
        offset, size, nbytes, block, layout = encoded
        taken_ns, busy_s, take_s, encode_s = times
        where = serial, offset, size, nbytes, taken_ns, block, layout
        record = REPORT.pack(*where, busy_s, take_s, encode_s, self._number, kind)
        os.write(self._reports, record)

    def report_failure(self, serial: int, error: BaseException) -> None:
        """Report that this worker cannot work."""
        self.report_packed(serial, FAILED, failures.pack(as_raisable(error)))

    def report_packed(
        self, serial: int, kind: int, packed: bytes, times: _Times = _NO_TIMES
    ) -> None:
        """Report an exception, packed by `failures.pack`, or something else that is packed."""
        try:
            block = self.arena.reserve(len(packed))
        except (MemoryError, OSError):
            block, self._spare = self._spare, None
            packed = packed if block is not None and len(packed) <= block.size else b""
        if not packed:
            self.report(serial, kind, times)
            return
        self.arena.write(block, packed)
        lent = Encoded(block.offset, block.size, len(packed), block.number, 0)
        self.report(serial, kind, times, lent)

    def reserve_spare(self) -> None:
        """Set memory aside for the report that there is no memory."""
        if self._spare is None:
            self._spare = self.arena.reserve(SPARE_BYTES)

    def _leave_if_forked(self) -> None:
        if os.getpid() != self._pid:
            os._exit(0)


_SERVING: Final = Loop._serve.__code__
