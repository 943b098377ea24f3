"""The zygote as the consumer sees it: a process that has imported what workers import, and bears
them by forks.

Actors      the consumer, inside a step; the zygote (worker/zygote.py); the workers, its children
Records     requests and answers, see wire/births.py

Rules
    R1  Nothing waits for imports, nor for a birth: all is asked for as soon as there is a state,
        and answered in the consumer's one poll. So workers are born, and compute, while the
        consumer does something else; and a worker may have computed before its number is known.
    R2  The status of one that has ended takes no time, and the consumer waits for it.
    R3  Who does not answer in time, or is gone, is never asked again. Workers are fresh
        interpreters then, and of those that it has borne, nobody learns how they end.
    R4  A worker is killed by its number only while that cannot be another process's: until the
        zygote reaps it, which it does at the consumer's word; or, without a zygote, while the
        worker's descriptor says that it lives.
    R5  Until its number is known, a worker is watched by a death pipe, whose end says for certain
        that there is none, or none any more. It is not killed, but ends with its life pipe.
    R6  Who was not reaped at our word may become our child when the zygote has ended: see
        consumer/unreaped.py. It is in the zygote's group, or its number stands in the table.
"""

from __future__ import annotations

import _socket
import contextlib
import enum
import errno
import marshal
import os
import select
import signal
import sys
import time
from array import array
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.executors.process.consumer.birth import arm_life
from seqloader.executors.process.consumer.unreaped import (
    adopts_orphans,
    reap_later,
    reap_left_over,
)
from seqloader.executors.process.wire.births import (
    BEAR,
    DESCRIPTORS_AT_ONCE,
    FIT,
    IMPORT,
    MESSAGE_BYTES,
    REAP,
    REFUSED,
    UNFIT,
    Message,
)
from seqloader.executors.process.wire.settings import WorkerSettings
from seqloader.executors.process.wire.table import PROCESS, place
from seqloader.memory.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Collection

    from seqloader.executors.process.consumer.birth import Birth

__all__ = ["Born", "Zygote"]

_ANSWER_S: Final = 10.0
"""How long a fork may take."""
_ASKED_AT_ONCE: Final = 64
"""Births that are not answered. The system bounds the descriptors that are on their way."""
_END_S: Final = 0.5
"""How long it may take to leave."""


class Stage(enum.Enum):
    """Of a zygote's life."""

    UNTOLD = enum.auto()
    """It does not know what to import."""
    TOLD = enum.auto()
    """It may be asked for births, and answers when it has imported."""
    FIT = enum.auto()
    """It has imported, and bears."""
    GONE = enum.auto()


class Born(NamedTuple):
    """The answer to a request for a birth."""

    number: int
    """Of the worker."""
    pid: int
    """Or, where it was refused, the system's error number."""
    refused: bool


class Zygote:
    """One process, for one pool.

    Attributes:
        stage: of its life.
        patience_s: how long it may take to say how a worker has ended.
        why_not: why workers are born otherwise, in words; empty: they are not.
        is_unfit: that is for what imports have left behind.
    """

    def __init__(self) -> None:
        self.stage = Stage.UNTOLD
        self.why_not = ""
        self.is_unfit = False
        self._descriptors = Descriptors()
        self._sockets: list[tuple[_socket.socket, _socket.socket]] = []
        """Ours and its own. Never dropped before they are closed."""
        self._born: list[int] = []
        self._life = -1
        self._watch = -1
        self._serial = 0
        self._asked: dict[int, int] = {}
        """Births that are not answered, by serial: the number of the worker."""
        self._children: set[int] = set()
        """Workers that it may have borne, and was not told to reap: their numbers in the table."""
        self._table = -1
        self.patience_s = _ANSWER_S
        self._unread: list[Message] = []
        """Answers to them, which came while another was waited for."""
        self._parent = os.getpid()

    @property
    def can_be_asked(self) -> bool:
        """Whether `bear` would do something now; where it is gone, it says so at once."""
        told = self.stage is not Stage.UNTOLD and len(self._asked) < _ASKED_AT_ONCE
        return told or self.is_gone

    @property
    def is_fit(self) -> bool:
        """Whether it has imported, and bears."""
        return self.stage is Stage.FIT

    @property
    def is_gone(self) -> bool:
        """Whether it bears nobody, and reaps nobody any more."""
        return self.stage is Stage.GONE

    @property
    def pid(self) -> int:
        """Process id; 0 before there is a process."""
        return self._born[0] if self._born else 0

    def fileno(self) -> int:
        """Readable when there is something to note."""
        return self._sockets[0][0].fileno()

    def launch(self, birth: Birth, errors: int) -> None:
        """Start the process; `errors`: the standard error of all.

        Raises:
            OSError: the system refuses it.
        """
        kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
        own = self._descriptors
        self._sockets.extend(starmap(_socket.socketpair, ((_socket.AF_UNIX, kind),)))
        theirs = self._sockets[0][1]
        life, self._life = own.pipe()
        self._table = birth.settings.table
        settings = WorkerSettings(
            0, -1, 0, 0, -1, -1, 0, life, -1, errors, -1, -1, -1, control=theirs.fileno()
        )
        birth.spawn(self._born, settings)
        self._watch = own.add(os.pidfd_open, self.pid)
        arm_life(life, self.pid)
        own.close_one(life)
        theirs.close()

    def prepare(self, modules: Collection[str]) -> None:
        """Have it import what a state needs; it says by itself when that is done."""
        names = sorted(modules)
        while len(marshal.dumps(names)) > MESSAGE_BYTES - 100:  # each worker imports the others
            del names[len(names) // 2 :]
        if not self.is_gone and self._send(IMPORT, names):
            self.stage = Stage.TOLD

    def note(self) -> list[Born]:
        """There is something to be read: whether it may bear workers, who is born, its end."""
        while (answer := self._next()) is not None:
            if answer.kind == FIT:
                self.stage = Stage.FIT
            elif answer.kind == UNFIT:
                self.is_unfit = True
                self.give_up(answer.facts)
            else:
                self._unread.append(answer)
        answers, self._unread = self._unread, []
        return [
            Born(self._asked.pop(one.serial), one.facts, refused=one.kind == REFUSED)
            for one in answers
            if one.serial in self._asked
        ]

    def _next(self) -> Message | None:
        """The next answer that is there."""
        if self.is_gone or not self._is_readable(0.0):
            return None
        answer = self._receive()
        if answer is None:
            self.give_up("it has ended")
        return answer

    def give_up(self, why: str) -> None:
        """It bears nobody any more; what it has said until now is kept. Idempotent."""
        if self.is_gone:
            return
        while self._sockets and self._is_readable(0.0) and (answer := self._receive()) is not None:
            self._unread.append(answer)
        self.why_not, self.stage = why, Stage.GONE
        self._kill()

    @property
    def has_unread(self) -> bool:
        """Whether there are answers to note, which came while another was waited for."""
        return bool(self._unread)

    def bear(self, own: WorkerSettings) -> bool:
        """Have it fork a worker that works as `own` says. False: it cannot be done here, or now:
        the system bounds the descriptors that are on their way."""
        passed = [fd for fd in own.descriptors() if fd >= 0]
        if self.is_gone or len(passed) > DESCRIPTORS_AT_ONCE:
            return False
        serial = self._serial + 1
        self._asked[serial] = own.number
        self._children.add(own.number)
        if self._send(BEAR, own.pack(), passed):
            return True
        del self._asked[serial]
        self._children.discard(own.number)
        return False

    def bury_unknown(self, born: Born) -> None:
        """A worker that nobody knows any more, since it ended before its number was known."""
        if not self.is_gone and self._send(REAP, born.pid):
            # The answer is noted with others, and asked for by nobody.
            self._children.discard(born.number)

    def reap(self, number: int, pid: int) -> tuple[int, int] | None:
        """Wait status and peak memory of a worker that has ended, or is about to; None: unknown.

        Where the zygote is gone, it has ended as well: if it has not reaped the worker, somebody
        else can now, perhaps the consumer.
        """
        answer = self._ask_status(pid)
        if self.is_gone:
            self._has_ended_within(_END_S)
        if answer is not None or self.is_gone:
            self._children.discard(number)
        return None if answer is None or answer[0] < 0 else answer

    def _ask_status(self, pid: int) -> tuple[int, int] | None:
        if self.is_gone or not self._send(REAP, pid):
            return None
        serial, deadline = self._serial, time.monotonic() + self.patience_s
        while self._is_readable(deadline - time.monotonic()):
            answer = self._receive()
            if answer is None:
                self.give_up("it has ended")
                return None
            if answer.serial == serial:
                status, peak = answer.facts
                return status, peak
            self._unread.append(answer)
        self.give_up("it does not answer any more")
        return None

    # --- messages ---------------------------------------------------------------------------

    def _send(self, kind: int, facts: Any, descriptors: Collection[int] = ()) -> bool:
        """Whether it could be told; else it is gone, or there is no room for descriptors."""
        self._serial += 1
        beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors).tobytes())]
        data = Message(self._serial, kind, facts).pack()
        flags = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
        try:
            self._sockets[0][0].sendmsg([data], beside if descriptors else [], flags)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ETOOMANYREFS):
                self.give_up("it has ended")
            return False
        return True

    def _is_readable(self, patience_s: float) -> bool:
        poll = select.poll()
        poll.register(self._sockets[0][0], select.POLLIN)
        return bool(poll.poll(max(0, int(patience_s * 1000))))

    def _receive(self) -> Message | None:
        """The next answer; None: it has ended."""
        with contextlib.suppress(OSError):
            if data := self._sockets[0][0].recv(MESSAGE_BYTES):
                return Message.unpack(data)
        return None

    # --- end --------------------------------------------------------------------------------

    def _kill(self) -> None:
        if not self.pid:
            return
        with contextlib.suppress(OSError):
            if self._watch >= 0:  # raises where somebody has reaped it: the number may be another's
                os.waitid(os.P_PIDFD, self._watch, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.killpg(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Close the ends that keep it alive, in a process that is not the consumer."""
        self._life = self._descriptors.close_one(self._life)
        for pair in self._sockets:
            for one in pair:
                one.close()

    def close(self) -> None:
        """Let it leave, or kill it; close everything. Idempotent. After its workers."""
        if os.getpid() != self._parent:
            self.release()
            self._born.clear()
        elif self.stage is not Stage.FIT:
            self._kill()
        self.stage = Stage.GONE
        for pair in self._sockets:
            for one in pair:
                one.close()
        if self.pid:
            self._has_ended_within(_END_S)
            self._kill()  # or what it leaves behind in its group
            self._has_ended_within(_END_S)
            for leader in (self.pid, *self._orphans()):
                reap_later(leader)
            self._born.clear()
            self._children.clear()
            reap_left_over(_END_S)
        self._watch = self._life = -1
        self._descriptors.close()

    def _orphans(self) -> list[int]:
        """Process numbers of those that it has borne, where they are our children now."""
        if not (self._children and adopts_orphans()):
            return []
        words = [os.pread(self._table, 8, place(number, PROCESS)) for number in self._children]
        return [pid for word in words if (pid := int.from_bytes(word, sys.byteorder))]

    def _has_ended_within(self, patience_s: float) -> bool:
        if self._watch < 0:  # its start was interrupted
            return False
        poll = select.poll()
        poll.register(self._watch, select.POLLIN)
        return bool(poll.poll(int(patience_s * 1000)))
