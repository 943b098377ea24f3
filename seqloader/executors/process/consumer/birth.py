"""How a worker process is born: by `posix_spawn` of a fresh interpreter, or by a fork.

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
import signal
import subprocess
import sys
import traceback
from itertools import starmap
from multiprocessing import process
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.errors import WorkerStartError
from seqloader.executors.process.wire.settings import ENTRY, MARK, PoolSettings, WorkerSettings
from seqloader.executors.process.wire.tunables import add_tunables
from seqloader.memory.fallbacks import without
from seqloader.memory.shared_arrays import make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seqloader.memory.descriptors import Descriptors

__all__ = [
    "Birth",
    "FirstState",
    "arm_life",
    "can_bear",
    "check_startable",
    "duplicate",
    "forked_entry",
    "is_open",
]

BOOTSTRAP: Final = (
    "import sys,os,marshal;"
    "d=int(sys.argv[1]);b,s=marshal.loads(os.pread(d,os.fstat(d).st_size,0));"
    "type(lambda:0)(b,globals())(*s[0]);"
    f"from {ENTRY} import enter;enter(s,sys.argv[1:])"
)


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
    if getattr(sys, "frozen", False) and _executable() == sys.executable:
        raise WorkerStartError(
            "this is a frozen program: sys.executable is the program itself, not a Python "
            'interpreter that could run a worker. Use start_method="fork", executor="thread" or '
            "workers=0, or name an interpreter with multiprocessing.set_executable(path)"
        )
    if not _executable():
        raise WorkerStartError(
            "sys.executable is empty (an embedded interpreter?), so no worker can be started: "
            "name an interpreter with multiprocessing.set_executable(path), or use "
            'executor="thread" or workers=0'
        )


def can_bear() -> bool:
    """Whether this system has what a zygote needs, and this process its standard descriptors: else
    the socket would get one of their numbers."""
    has_all = sys.platform == "linux" and hasattr(os, "pidfd_open") and not without("pidfd")
    return has_all and all(map(is_open, (0, 1, 2)))


def _executable() -> str:
    """What a worker is run with; empty: nobody says."""
    # Other than what Python says only by `multiprocessing.set_executable`, which imports this.
    spawn: Any = sys.modules.get("multiprocessing.spawn")
    return os.fsdecode((sys.executable if spawn is None else spawn.get_executable()) or "")


class FirstState(NamedTuple):
    """The state that a worker loads before anything else."""

    version: int
    offset: int
    """Of its manifest in the state file."""
    gate: int
    """Readable when the table says version and offset, while there is none; else -1."""


class Birth(NamedTuple):
    """What every worker of a pool is born with."""

    settings: PoolSettings
    settings_fd: int
    """Where they are written, for a fresh interpreter."""
    environment: Mapping[str, str]
    """Variables added to the consumer's."""
    inherit: Callable[[PoolSettings, WorkerSettings], None] | None
    """Entry of a forked worker; None: fresh interpreters."""

    def bear(self, born: list[int], own: WorkerSettings) -> None:
        """Make a process, which works as `own` says; its number is put into `born`."""
        if self.inherit is None:
            self.spawn(born, own)
        else:
            self._fork(born, own)

    def spawn(self, born: list[int], own: WorkerSettings) -> None:
        """Make a fresh interpreter, which works as `own` says, also where workers are forked."""
        pool, settings = self.settings, self.settings_fd
        executable = _executable()
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
            # Onto itself: open in the child, while it stays closed on exec here.
            *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(passed)),
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in strangers if fd not in beyond),
        ]
        errors = own.errors if own.capture < 0 else own.capture
        for fd, source in ((1, 1 if is_open(1) else -1), (2, errors)):
            if source < 0:
                actions.append((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0))
            elif source != fd:
                actions.append((os.POSIX_SPAWN_DUP2, source, fd))
        environment = {**os.environ, **self.environment, MARK: "1"}
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
        born.extend(starmap(start, ((),)))  # see Note [births]

    def _fork(self, born: list[int], own: WorkerSettings) -> None:
        _flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            born.extend(starmap(os.fork, ((),)))  # see Note [births]
        finally:
            if born != [0]:  # a worker unblocks them when it is ready for them
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if born == [0]:
            self._be_a_forked_worker(own)
        with contextlib.suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(born[0], born[0])

    def _be_a_forked_worker(self, own: WorkerSettings) -> None:
        assert self.inherit is not None
        status = 1
        try:
            os.setpgid(0, 0)
            os.environ.update(self.environment)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            make_private()
            self.inherit(self.settings, own)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            _flush()
            os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


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


def duplicate(fd: int, owner: Descriptors) -> int:
    """A duplicate of `fd` that `owner` closes; -1 where there is none to duplicate."""
    return owner.duplicate(fd) if is_open(fd) else -1


def arm_life(life: int, pid: int) -> None:
    """Have the process group of `pid` killed when the write end of its life pipe is closed.

    By the consumer, so that the worker's own children die as well, and from now on; the rules are
    in the worker's side of it, worker/life.py.
    """
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(life, fcntl.F_SETOWN, -pid)
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def is_open(fd: int) -> bool:
    """Whether there is such a descriptor."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
