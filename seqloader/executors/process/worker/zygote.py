"""A zygote: it has imported what workers import, and becomes one worker after another, by forks.

It is a fresh interpreter, and was told what every worker of its pool is told. It runs nothing of
the user's but imports. What a fork would share that is a worker's own must not be there: where an
import has left such a thing behind, the zygote says so, and workers are fresh interpreters.

Rules
    R1  It forks with one thread, and only what imports have made.
    R2  A child is a worker from its first statement: it closes what is the zygote's, and takes up
        what came with the request. The zygote closes that.
    R3  It reaps a child when the consumer says so: until then no other process can have its number.
    R4  It dies with the consumer, as a worker does; and leaves when its socket ends, having reaped
        what has ended.
    R5  A child is in the zygote's group until its number stands in the table: killed at any point,
        a zygote leaves no child of which the consumer cannot know, should it become its own.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final, NoReturn

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
    UNFIT,
    Message,
)
from seqloader.executors.process.wire.settings import PoolSettings, WorkerSettings
from seqloader.executors.process.wire.table import PROCESS, place
from seqloader.executors.process.worker import mp_child
from seqloader.executors.process.worker.fitness import Fitness
from seqloader.executors.process.worker.life import guard_life
from seqloader.executors.process.worker.surroundings import prepare_signals

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable

__all__ = ["become_worker"]

_END_S: Final = 0.4
"""How long it waits for children that were killed, to reap them."""


def become_worker(pool: PoolSettings, own: WorkerSettings) -> WorkerSettings:
    """Serve as the zygote that `own` says. Returns in a forked child: the worker that it is."""
    is_alone = guard_life(own.life)
    mp_child.be_child(pool.parent, 0, own.life, -1)
    prepare_signals()
    return _Bearer(own, pool.table, is_alone=is_alone).serve()


class _Bearer:
    def __init__(self, own: WorkerSettings, table: int, *, is_alone: bool) -> None:
        import _socket

        self._table = table
        self._socket = _socket.socket(fileno=own.control)
        self._life = own.life
        self._fitness = Fitness() if is_alone else None
        # By default: an ignored one reaps, and then a number is free before the consumer knows.
        self._child_signal = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._is_fit = False

    def serve(self) -> WorkerSettings:
        """Answer requests; returns in a child."""
        while True:
            request, descriptors, whole = _receive(self._socket)
            if request is None:
                _leave()
            serial, kind, facts = request
            if kind == IMPORT:
                self._answer(serial, *self._prepare(facts))
            elif kind == BEAR and not whole:
                _close(descriptors)
                self._answer(serial, REFUSED, errno.EMFILE)
            elif kind == BEAR and self._is_fit:
                own = self._bear(serial, WorkerSettings.unpack(facts), descriptors)
                if own is not None:
                    return own
            elif kind == REAP:
                self._answer(serial, ENDED, _reap(facts))

    def _answer(self, serial: int, kind: int, facts: object) -> None:
        try:
            self._socket.send(Message(serial, kind, facts).pack())
        except OSError:  # the consumer has closed its end
            _leave()

    def _prepare(self, names: Iterable[str]) -> tuple[int, str]:
        if self._fitness is None:
            return UNFIT, "a thread of its own waits for the end of this process"
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException as error:  # what a worker will meet, and can say
                return UNFIT, f"importing {name} has raised {type(error).__name__}"
        why = self._fitness.lacks()
        if why:
            return UNFIT, why
        gc.freeze()
        self._is_fit = True
        return FIT, ""

    def _bear(
        self, serial: int, own: WorkerSettings, descriptors: list[int]
    ) -> WorkerSettings | None:
        for stream in (sys.stdout, sys.stderr):  # else each worker would write it once more
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            self._lead(own.number, os.getpid())
            return self._be(own.taking(descriptors))
        _close(descriptors)
        if pid < 0:
            self._answer(serial, REFUSED, -pid)
            return None
        with contextlib.suppress(OSError):  # the child does it too: whoever comes first
            self._lead(own.number, pid)
        self._answer(serial, BORN, pid)
        return None

    def _lead(self, number: int, pid: int) -> None:
        """A child is to lead a group of its own; see rule R5."""
        os.pwrite(self._table, pid.to_bytes(8, sys.byteorder), place(number, PROCESS))
        os.setpgid(pid, pid)

    def _be(self, own: WorkerSettings) -> WorkerSettings:
        """In the child."""
        signal.signal(signal.SIGCHLD, self._child_signal)
        self._socket.close()
        os.close(self._life)
        if own.capture >= 0:
            os.dup2(own.capture, 2)
        mp_child.be_forked_child()
        gc.enable()
        return own


def _leave() -> NoReturn:
    deadline = time.monotonic() + _END_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.002)
    os._exit(0)


def _close(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _reap(pid: int) -> tuple[int, int]:
    try:
        _, status, usage = os.wait4(pid, 0)
    except ChildProcessError:
        return -1, 0
    return status, usage.ru_maxrss


def _receive(socket: _socket.socket) -> tuple[Message | None, list[int], bool]:
    """The next request, its descriptors, and whether these are all of them; None: it is over."""
    import _socket

    room = _socket.CMSG_SPACE(4 * DESCRIPTORS_AT_ONCE)
    try:
        data, ancillary, flags, _ = socket.recvmsg(MESSAGE_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
    except OSError:  # the consumer has closed it, and left answers unread
        return None, [], True
    descriptors = [fd for _, _, numbers in ancillary for fd in memoryview(numbers).cast("i")]
    return Message.unpack(data) if data else None, descriptors, not flags & _socket.MSG_CTRUNC
