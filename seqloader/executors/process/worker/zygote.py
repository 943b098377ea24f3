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
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

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
from seqloader.executors.process.worker import mp_child
from seqloader.executors.process.worker.life import guard_life
from seqloader.executors.process.worker.surroundings import prepare_signals

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable

__all__ = ["become_worker"]

_OWN_GENERATORS: Final = (
    ("random", "_inst"),  # seeds itself after a fork
    ("numpy.random.mtrand", "_rand"),  # seeded in each worker, as those of `random` and torch
    ("sympy.core.random", "rng"),  # torch imports it, for no batch
)
"""Generators that libraries make when they are imported, and that a worker may have by a fork."""


def become_worker(pool: PoolSettings, own: WorkerSettings) -> WorkerSettings:
    """Serve as the zygote that `own` says. Returns in a forked child: the worker that it is."""
    is_alone = guard_life(own.life)
    mp_child.be_child(pool.parent, 0, own.life, -1)
    prepare_signals(-1)
    return _Zygote(own, is_alone=is_alone).serve()


class _Zygote:
    def __init__(self, own: WorkerSettings, *, is_alone: bool) -> None:
        import _socket

        self._socket = _socket.socket(fileno=own.control)
        self._life = own.life
        self._opened_before = _descriptors()
        self._is_alone = is_alone
        self._is_fit = False

    def serve(self) -> WorkerSettings:
        """Answer requests; returns in a child."""
        while True:
            request, descriptors = _receive(self._socket)
            if request is None:
                _leave()
            serial, kind, facts = request
            if kind == IMPORT:
                self._answer(serial, *self._prepare(facts))
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
        for name in names:
            with contextlib.suppress(BaseException):  # the workers will meet it, and can say it
                importlib.import_module(name)
        why = "a thread of its own waits for the end of this process"
        if self._is_alone:
            why = _shared_by_a_fork(self._opened_before)
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
            return self._be(own.taking(descriptors))
        for fd in descriptors:
            os.close(fd)
        if pid < 0:
            self._answer(serial, REFUSED, -pid)
            return None
        with contextlib.suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(pid, pid)
        self._answer(serial, BORN, pid)
        return None

    def _be(self, own: WorkerSettings) -> WorkerSettings:
        """In the child."""
        os.setpgid(0, 0)
        self._socket.close()
        os.close(self._life)
        if own.capture >= 0:
            os.dup2(own.capture, 2)
        mp_child.be_forked_child()
        gc.enable()
        return own


def _leave() -> NoReturn:
    # Killed children that end only now are left to the system.
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    os._exit(0)


def _reap(pid: int) -> tuple[int, int]:
    try:
        _, status, usage = os.wait4(pid, 0)
    except ChildProcessError:
        return -1, 0
    return status, usage.ru_maxrss


def _receive(socket: _socket.socket) -> tuple[Message | None, list[int]]:
    import _socket

    room = _socket.CMSG_SPACE(4 * DESCRIPTORS_AT_ONCE)
    try:
        data, ancillary, _, _ = socket.recvmsg(MESSAGE_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # the consumer has closed it, and left answers unread
        return None, []
    descriptors = [fd for _, _, numbers in ancillary for fd in memoryview(numbers).cast("i")]
    return (Message.unpack(data) if data else None), descriptors


# --- what a fork would share ------------------------------------------------------------------


def _shared_by_a_fork(opened_before: dict[int, str]) -> str:
    """What imports have left behind that every worker must have for itself, in words; empty:
    nothing."""
    if "tensorflow" in sys.modules:
        return "TensorFlow is imported, which does not work after a fork"
    threads = len(os.listdir("/proc/self/task")) - 1
    if threads:
        return f"an import has started {threads} thread{'s' * (threads > 1)}"
    for fd, file in _descriptors().items():
        if opened_before.get(fd) != file:
            return f"an import has opened {file}"
    return _generator()


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the list's own is closed already
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _generator() -> str:
    """A random generator that an import has made, and whose numbers every worker would repeat."""
    import random

    kinds: tuple[type, ...] = (random.Random,)
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kinds += numpy_random.BitGenerator, numpy_random.RandomState
    known = {id(one) for one in _library_generators()}
    for one in gc.get_objects():
        # Its type, since objects may answer for their class, and load themselves for it.
        if issubclass(type(one), kinds) and id(one) not in known and _draws_its_own(one):
            return f"an import has made a random generator, a {type(one).__qualname__}"
    return ""


def _library_generators() -> Iterable[Any]:
    for module, name in _OWN_GENERATORS:
        found = getattr(sys.modules.get(module), name, None)
        yield found
        yield getattr(found, "_bit_generator", None)
    names = getattr(sys.modules.get("tempfile"), "_name_sequence", None)
    yield getattr(names, "_rng", None)  # made anew where the process is another


def _draws_its_own(generator: Any) -> bool:
    """Whether it would draw other numbers in each fresh interpreter, as far as can be seen."""
    import random

    if isinstance(generator, random.SystemRandom):
        return False
    entropy = getattr(getattr(generator, "seed_seq", None), "entropy", None)
    # What somebody has written down is less than what the system draws: 128 bits.
    return not (isinstance(entropy, int) and entropy < 1 << 64)
