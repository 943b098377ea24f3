"""The zygote as the consumer sees it: a process that has imported what workers import, and bears
them by forks.

Actors      the consumer, inside a step; the zygote (worker/zygote.py); the workers, its children
Records     requests and answers, see wire/births.py

Rules
    R1  Nothing waits for imports. The request for them is answered in the consumer's one poll; no
        worker is started before. It is asked for a birth, and for the status of one that has ended,
        only once it has answered that: these take a fork's time, and the consumer waits for them.
    R2  Who does not answer in time, or is gone, is never asked again: workers are born as fresh
        interpreters then, and what those were that it has borne remains unknown when they end.
    R3  A worker is killed by its number only while that cannot be another process's: until the
        zygote reaps it, which it does at the consumer's word; or, without a zygote, while the
        worker's descriptor says that it lives.
    R4  An interrupt may leave a request unanswered. Its answer is recognised by the serial, and is
        thrown away. A worker that was born by it is known to nobody, and ends with its life pipe,
        like one whose start was interrupted elsewhere.
"""

from __future__ import annotations

import _socket
import contextlib
import enum
import os
import select
import signal
import time
from array import array
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.consumer.birth import arm_life
from seqloader.executors.process.consumer.worker import reap_later, reap_left_over
from seqloader.executors.process.wire.births import (
    BEAR,
    BORN,
    DESCRIPTORS_AT_ONCE,
    ENDED,
    FIT,
    IMPORT,
    MESSAGE_BYTES,
    REAP,
    REFUSED,
    Message,
)
from seqloader.executors.process.wire.settings import WorkerSettings
from seqloader.memory.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Collection

    from seqloader.executors.process.consumer.birth import Birth

__all__ = ["IMPORTS_S", "Zygote"]

IMPORTS_S: Final = 120.0
"""How long imports may take: as long as a worker may take to become ready."""
_ANSWER_S: Final = 10.0
"""How long a fork may take."""
_END_S: Final = 0.5
"""How long it may take to leave."""


class Stage(enum.Enum):
    """Of a zygote's life."""

    UNBORN = enum.auto()
    AWAITED = enum.auto()
    """It starts, or imports."""
    READY = enum.auto()
    GONE = enum.auto()


class Zygote:
    """One process, for one pool.

    Attributes:
        stage: of its life.
        why_not: why workers are born otherwise, in words; empty: they are not.
        deadline: when its imports are to be done, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.stage = Stage.UNBORN
        self.why_not = ""
        self.deadline = 0.0
        self._descriptors = Descriptors()
        self._sockets: list[tuple[_socket.socket, _socket.socket]] = []
        """Ours and its own. Never dropped before they are closed."""
        self._born: list[int] = []
        self._life = -1
        self._watch = -1
        self._serial = 0
        self._parent = os.getpid()

    @property
    def is_awaited(self) -> bool:
        """Whether it is not known yet if it bears workers."""
        return self.stage is Stage.AWAITED

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
        self.stage, self.deadline = Stage.AWAITED, time.monotonic() + IMPORTS_S
        self._sockets.extend(starmap(_socket.socketpair, ((_socket.AF_UNIX, kind),)))
        theirs = self._sockets[0][1]
        life, self._life = own.pipe()
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
        self._send(IMPORT, sorted(modules))

    def note(self) -> None:
        """There is something to be read: that it may bear workers, or not, or that it is gone."""
        answer = self._receive(0.0) if self.is_awaited else None
        if answer is not None and answer.kind == FIT:
            self.stage = Stage.READY
        else:
            self.give_up(answer.facts if answer is not None else "it has ended")

    def give_up(self, why: str) -> None:
        """It bears nobody any more. Idempotent."""
        self.why_not, self.stage = self.why_not or why, Stage.GONE
        self._kill()

    def bear(self, born: list[int], own: WorkerSettings) -> bool:
        """Fork a worker that works as `own` says; its number is put into `born`.

        False: it cannot be done here.

        Raises:
            OSError: the system refuses another process.
        """
        passed = [fd for fd in own.descriptors() if fd >= 0]
        if self.stage is not Stage.READY or len(passed) > DESCRIPTORS_AT_ONCE:
            return False
        answer = self._ask(BEAR, own.pack(), passed)
        if answer is None:
            return False
        if answer.kind == REFUSED:
            raise OSError(answer.facts, os.strerror(answer.facts))
        assert answer.kind == BORN, answer
        born.append(answer.facts)
        return True

    def reap(self, pid: int) -> tuple[int, int] | None:
        """Wait status and peak memory of a worker that has ended, or is about to; None: unknown."""
        if self.stage is not Stage.READY:
            return None
        answer = self._ask(REAP, pid)
        if answer is None or answer.kind != ENDED or answer.facts[0] < 0:
            return None
        status, peak = answer.facts
        return status, peak

    # --- messages ---------------------------------------------------------------------------

    def _ask(self, kind: int, facts: Any, descriptors: Collection[int] = ()) -> Message | None:
        """The answer; None: it has none, and is gone."""
        serial = self._send(kind, facts, descriptors)
        deadline = time.monotonic() + _ANSWER_S
        while self.stage is Stage.READY:
            answer = self._receive(deadline - time.monotonic())
            if answer is None:
                self.give_up("it does not answer any more")
            elif answer.serial == serial:
                return answer
        return None

    def _send(self, kind: int, facts: Any, descriptors: Collection[int] = ()) -> int:
        self._serial += 1
        beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors).tobytes())]
        data = Message(self._serial, kind, facts).pack()
        flags = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
        try:
            self._sockets[0][0].sendmsg([data], beside if descriptors else [], flags)
        except OSError as error:  # it has ended, or there are too many names
            self.give_up(f"it cannot be asked: {error}")
        return self._serial

    def _receive(self, patience_s: float) -> Message | None:
        """The next answer; None: there comes none."""
        socket = self._sockets[0][0]
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        if not poll.poll(max(0, int(patience_s * 1000))):
            return None
        with contextlib.suppress(OSError):
            if data := socket.recv(MESSAGE_BYTES):
                return Message.unpack(data)
        return None

    # --- end --------------------------------------------------------------------------------

    def _kill(self) -> None:
        if self.pid:
            with contextlib.suppress(OSError):
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
        elif self.stage is not Stage.READY:
            self._kill()
        self.stage = Stage.GONE
        for pair in self._sockets:
            for one in pair:
                one.close()
        if self.pid and not self._has_ended_within(_END_S):
            self._kill()
            self._has_ended_within(_END_S)
        if self.pid:
            reap_later(self._born.pop())
            reap_left_over()
        self._watch = self._life = -1
        self._descriptors.close()

    def _has_ended_within(self, patience_s: float) -> bool:
        if self._watch < 0:  # its start was interrupted
            return False
        poll = select.poll()
        poll.register(self._watch, select.POLLIN)
        return bool(poll.poll(int(patience_s * 1000)))
