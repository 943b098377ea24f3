"""One worker process as the consumer sees it: start it, watch it, end it, learn how it ended.

Rules
    R1  Every descriptor is an attribute of the object before the process exists, so that an
        exception raised asynchronously in the middle of a start leaves nothing that `close`
        would not end: without its life pipe's write end, the worker is gone.
    R2  The process group is killed before its leader is reaped: until then no other process can
        have the number.
    R3  A zombie counts as gone. The exit status may be unknown (an ignored SIGCHLD reaps for us).

Note [births]
    A handler that raises between the birth of a process and the note of its number would leave it
    unknown, and that is where a Ctrl-C during a start most likely arrives: the call takes the most
    of the time. So the number is stored by the C call that makes the process, as descriptors.py
    does it; `subprocess` would have a gap there. `os.fork()` runs Python code of others, such as
    logging's: what is raised in there is swallowed and leaves their lock taken for ever, so signals
    to this thread are held back meanwhile. (What another thread throws in cannot be.)

Note [no endless start]
    `sys.executable -c ...` in a frozen program starts the program itself, which would start
    workers, which would start the program. The child is marked by an environment variable that
    only our own entry removes; who finds it in its environment refuses to start workers.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from itertools import starmap
from multiprocessing import process, spawn
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.mp_objects import tracker_fd
from seqloader.executors.process.wire.settings import (
    ENTRY,
    MARK,
    STACK_SIGNAL,
    PoolSettings,
    WorkerSettings,
)
from seqloader.executors.process.wire.tunables import add_tunables
from seqloader.memory.descriptors import Descriptors
from seqloader.memory.fallbacks import without
from seqloader.memory.shared_arrays import live_memories, make_private
from seqloader.tickets import Death

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["WorkerProcess", "check_startable"]

BOOTSTRAP: Final = (
    "import sys,os,marshal;"
    "d=int(sys.argv[1]);b,s=marshal.loads(os.pread(d,os.fstat(d).st_size,0));"
    "type(lambda:0)(b,globals())(*s[0]);"
    f"from {ENTRY} import enter;enter(s,sys.argv[1:])"
)
STACK_WAIT_S: Final = 1.0
"""How long a worker past its time may take to write its stack before it is killed."""
TAIL_BYTES: Final = 4096
"""How much of a failed start's standard error an error message shows."""


def check_startable() -> None:
    """Refuse at once where no worker can be started, naming the way out."""
    if sys.platform == "win32":
        raise WorkerStartError(
            "worker processes are not available on Windows yet: "
            'use executor="thread" (workers share the interpreter) or workers=0'
        )
    if os.environ.get(MARK):
        raise WorkerStartError(
            "this process is itself a worker's interpreter that did not reach seqloader's entry "
            f"({MARK} is set): the program was probably frozen, so that sys.executable starts the "
            'program instead of Python. Use executor="thread", workers=0, start_method="fork", or '
            "multiprocessing.set_executable() with the path of a Python interpreter"
        )
    if getattr(process.current_process(), "_inheriting", False):
        raise WorkerStartError(
            "this process is a child of multiprocessing that is still importing the main script, "
            "and the script starts workers wherever it is imported: each child would start workers "
            "of its own, without end. Put the script's work under "
            "if __name__ == '__main__': (workers need no such guard, but multiprocessing's spawn "
            "and forkserver do), or use multiprocessing's fork"
        )
    if getattr(sys, "frozen", False) and spawn.get_executable() == sys.executable:
        raise WorkerStartError(
            "this is a frozen program: sys.executable is the program itself, not a Python "
            'interpreter that could run a worker. Use start_method="fork", executor="thread" or '
            "workers=0, or name an interpreter with multiprocessing.set_executable(path)"
        )
    if not spawn.get_executable():
        raise WorkerStartError(
            "sys.executable is empty (an embedded interpreter?), so no worker can be started: "
            "name an interpreter with multiprocessing.set_executable(path), or use "
            'executor="thread" or workers=0'
        )


class WorkerProcess:
    """A worker process in a slot."""

    def __init__(self, number: int, slot: int) -> None:
        self.number = number
        self.slot = slot
        self.ready = False
        self.answered = False
        """Whether it has reported on a ticket: it can work."""
        self.excused = False
        """Whether it ended while it waited for the first state: that says nothing of others."""
        self.overdue = False
        """Whether the consumer killed it because its batch took too long."""
        self.stack_text = ""
        self.version = 0
        """Of the state that it loads first: it needs no older one."""
        self.born_ns = time.monotonic_ns()
        self._life = -1
        self._watch = -1
        self._capture = -1
        self._stack = -1
        self._descriptors = Descriptors()
        self._born: list[int] = []
        self._gone = False
        self._parent = os.getpid()

    @property
    def pid(self) -> int:
        """Process id; 0 before there is a process."""
        return self._born[0] if self._born else 0

    @property
    def watch(self) -> int:
        """Descriptor that is readable, or hung up, once the process has ended."""
        return self._watch

    def launch(
        self,
        *,
        pool: PoolSettings,
        settings: int,
        state: tuple[int, int, int],
        arena: tuple[int, int],
        stacks: bool,
        environment: Mapping[str, str],
        inherit: Callable[[WorkerSettings], None] | None,
    ) -> None:
        """Start the process.

        Args:
            pool: what all workers are told, also written in the descriptor `settings`.
            state: version and offset of the state it loads first, or where it waits for them.
            arena: descriptor and size of its arena file.
            stacks: whether it may be asked for its stack.
            environment: variables added to the consumer's.
            inherit: the worker's entry, to be called in a forked child; None: a fresh interpreter.
        """
        self.version = state[0]
        own = self._descriptors
        passed = Descriptors()
        try:
            life, self._life = own.pipe()
            death = -1
            if without("pidfd") or not hasattr(os, "pidfd_open"):
                self._watch, death = own.pipe()
            errors = _duplicate(2, passed)
            if inherit is None:
                self._capture = own.memory("seqloader-stderr")
            if stacks:
                self._stack = own.memory("seqloader-stack")
            tracker = -1 if inherit else _duplicate(tracker_fd(), passed)
            ends = (life, death, errors, self._capture, self._stack, tracker)
            memories = live_memories() if inherit is None else []  # held open until it has them
            shared = tuple(memory.fd for memory in memories if not memory.private)
            told = WorkerSettings(self.number, self.slot, *state, *arena, *ends, shared)
            if inherit is None:
                self._spawn(pool, told, settings, environment)
            else:
                self._fork(told, environment, inherit)
            if death < 0:
                self._watch = own.add(os.pidfd_open, self.pid)
            self._arm(life)
            own.close_one(life)
            own.close_one(death)
        finally:
            passed.close()

    def _spawn(
        self, pool: PoolSettings, own: WorkerSettings, settings: int, extra: Mapping[str, str]
    ) -> None:
        executable = os.fsdecode(spawn.get_executable())
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        shared = (settings, pool.tickets, pool.reports, pool.table, pool.state, *pool.passed)
        passed = {fd for fd in (*own.descriptors(), *shared) if fd >= 0}
        strangers = [fd for fd in _inheritable() if fd not in passed]
        # The limit on open files may have been lowered since those were opened: then they cannot
        # be named here any more, and the worker closes them itself.
        limit = os.sysconf("SC_OPEN_MAX")
        beyond = tuple(fd for fd in strangers if 0 < limit <= fd)
        own = own._replace(strangers=beyond)
        command = [executable, *flags, "-P", "-c", BOOTSTRAP, str(settings), *own.arguments()]
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, own.capture, 2),
            # Onto itself: open in the child, while it stays closed on exec here.
            *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(passed)),
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in strangers if fd not in beyond),
        ]
        if not _is_open(1):
            actions.append((os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))
        environment = {**os.environ, **extra, MARK: "1"}
        add_tunables(environment)
        start = functools.partial(
            os.posix_spawn,
            executable,
            command,
            environment,
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
        )
        self._born.extend(starmap(start, ((),)))  # see Note [births]

    def _fork(
        self,
        own: WorkerSettings,
        extra: Mapping[str, str],
        inherit: Callable[[WorkerSettings], None],
    ) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            self._born.extend(starmap(os.fork, ((),)))  # see Note [births]
        finally:
            if self._born != [0]:  # a worker unblocks them when it is ready for them
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._born == [0]:
            _be_a_forked_worker(own, extra, inherit)
        with contextlib.suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(self.pid, self.pid)

    def _arm(self, life: int) -> None:
        # Armed by the consumer, so that the worker's own children die as well, and from now on;
        # the rules are in the worker's side of it, worker/life.py.
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(life, fcntl.F_SETOWN, -self.pid)
            fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)

    def note_ready(self) -> None:
        """The worker has reported READY; it has given standard error back."""
        self.ready = True
        self._capture = self._descriptors.close_one(self._capture)

    def start_errors(self) -> str:
        """The tail of what a worker that never was ready wrote to standard error."""
        if self._capture < 0:
            return ""
        size = os.fstat(self._capture).st_size
        start = max(0, size - TAIL_BYTES)
        return os.pread(self._capture, size - start, start).decode(errors="replace").strip()

    def kill(self) -> None:
        """SIGKILL for the whole group. Any thread, any time, any number of times."""
        if self.pid > 0 and not self._gone:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):  # a forked child may not lead its group yet
                os.kill(self.pid, signal.SIGKILL)

    def kill_overdue(self) -> None:
        """Ask for the stack, keep what is written, and kill."""
        self.overdue = True
        if self._stack >= 0:
            with contextlib.suppress(OSError):
                os.kill(self.pid, STACK_SIGNAL)
            self.stack_text = self._read_stack()
        self.kill()

    def _read_stack(self) -> str:
        deadline = time.monotonic() + STACK_WAIT_S
        ended = select.poll()
        ended.register(self._watch)
        size = -1
        while time.monotonic() < deadline:
            before, size = size, os.fstat(self._stack).st_size
            if size > 0 and size == before:  # it has stopped growing
                break
            if ended.poll(20):
                break
        return os.pread(self._stack, 65_536, 0).decode(errors="replace").strip()

    def reap(self) -> Death:
        """Collect the exit status of a process that has ended; kills what it left behind."""
        self.kill()
        exitcode: int | None = None
        peak: int | None = None
        # Where the child was reaped elsewhere; and at the interpreter's end, when `wait4` cannot
        # import what it needs for the usage any more.
        with contextlib.suppress(ChildProcessError, ImportError):
            _, status, usage = os.wait4(self.pid, 0)
            exitcode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self._gone = True
        reason = "timeout" if self.overdue else "died"
        return Death(self.slot, self.pid, exitcode, peak or None, reason, self.stack_text)

    def forsake(self) -> None:
        """Give up a process that cannot be reaped now; it is reaped at a later start."""
        if self.pid > 0 and not self._gone and os.getpid() == self._parent:
            _unreaped.append(self.pid)
        self._gone = True

    def let_go(self) -> None:
        """Close the write end of the life pipe."""
        self._life = self._descriptors.close_one(self._life)

    def close(self) -> None:
        """Close every descriptor. Idempotent; ends a worker that is still alive."""
        self._life = self._watch = self._capture = self._stack = -1
        self._descriptors.close()


_unreaped: list[int] = []
"""Processes that were killed where nobody could wait for them."""


def reap_forsaken() -> None:
    """Reap what finalizers left behind, as far as it has ended. Never blocks."""
    for pid in _unreaped[:]:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        with contextlib.suppress(ValueError):
            _unreaped.remove(pid)


def _be_a_forked_worker(
    own: WorkerSettings, extra: Mapping[str, str], inherit: Callable[[WorkerSettings], None]
) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        os.environ.update(extra)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        make_private()
        inherit(own)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()
        os._exit(status)


def forked_entry() -> Any:
    """The worker's `run`, for a forked child."""
    return importlib.import_module(ENTRY).run


def _inheritable() -> list[int]:
    """What C libraries of this process, or its parent, have left open for every child. A socket or
    a lock file that lives on in a worker would surprise whoever waits for its end."""
    found = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):  # the list's own is closed already
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _duplicate(fd: int, owner: Descriptors) -> int:
    return owner.duplicate(fd) if _is_open(fd) else -1


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
