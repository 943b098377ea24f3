"""Starts of workers that fail: when the next one is tried, and when none is any more. Pure."""

from __future__ import annotations

import errno
import signal
from typing import TYPE_CHECKING, ClassVar, Final

from seqloader.errors import WorkerStartError
from seqloader.memory.memfile import FILE_SIZE_HINT

if TYPE_CHECKING:
    from seqloader.tickets import Death

__all__ = [
    "Starts",
    "cannot_launch",
    "died_too_often",
    "failed_start",
    "is_kill",
    "killed_for_memory",
    "no_room",
    "start_failure",
]

MIB: Final = 1 << 20

_KILLS: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Signals that a process does not raise in itself by a fault."""


class Starts:
    """Starts that failed, over all slots of a pool, since one has succeeded.

    A start has failed when the system refused it, or when the worker ended before its first batch.
    It has succeeded when the worker has answered a ticket.

    From the third on a failure costs a pause before the next try, longer each time. The run is
    given up once failures are too many, and nobody serves: that is, none who has answered a ticket
    is left. What ends by itself, or by a fault of its own, does so again, unless one of those that
    are still starting shows otherwise: so three such ends are too many, and one more for each of
    them. A kill, or a refusal, comes from elsewhere and may have been the last: of these, many are
    borne while others are still starting.
    """

    LIMIT: ClassVar = 3
    """So many failures may be an accident."""
    LIMIT_FROM_ELSEWHERE: ClassVar = 10
    """The same, where they came from elsewhere and nobody is left, starting or serving."""
    LIMIT_WHILE_OTHERS_START: ClassVar = 40
    """The same, where others are still starting: they may come to serve."""
    FIRST_PAUSE_S: ClassVar = 0.1
    LONGEST_PAUSE_S: ClassVar = 30.0
    LONGEST_ALONE_S: ClassVar = 1.0
    """With nobody left, the consumer waits for the next worker."""

    def __init__(self) -> None:
        self.failed = 0
        self._by_themselves = 0
        self._said = 0
        """How many there were when a warning was last worth it."""

    def note_failure(self, *, from_elsewhere: bool = False) -> None:
        """One more. `from_elsewhere`: a kill, or the system's refusal."""
        self.failed += 1
        self._by_themselves += not from_elsewhere

    def works(self) -> None:
        """A new worker has answered its first ticket."""
        self.failed = self._by_themselves = self._said = 0

    def gives_up(self, living: int, serving: int) -> bool:
        """Whether no further start is tried, with so many workers left."""
        if serving:
            return False
        limit = self.LIMIT_WHILE_OTHERS_START if living else self.LIMIT_FROM_ELSEWHERE
        # Of the living each may come to serve: only when as many have ended as well, none will.
        return self._by_themselves >= self.LIMIT + living or self.failed >= limit

    def pause_s(self, living: int) -> float:
        """How long the next start is put off, with so many workers left."""
        beyond = self.failed - self.LIMIT
        if beyond < 0:
            return 0.0
        longest_s = self.LONGEST_PAUSE_S if living else self.LONGEST_ALONE_S
        return min(longest_s, self.FIRST_PAUSE_S * 2.0 ** min(beyond, 30))

    def must_say(self) -> bool:
        """Whether the failures so far are worth another warning: when they are twice as many."""
        if self.failed < max(1, 2 * self._said):
            return False
        self._said = self.failed
        return True


def is_kill(exitcode: int | None) -> bool:
    """Whether a worker that ended so was ended from elsewhere."""
    return exitcode is not None and -exitcode in _KILLS


def start_failure(slot: int, pid: int, error: BaseException) -> WorkerStartError:
    """A worker has said that it cannot work: loading the Sequence or `worker_init` raised."""
    failure = WorkerStartError(
        f"worker {slot} (pid {pid}) could not start: loading the Sequence or worker_init raised "
        f"{type(error).__name__}: {error}. It would raise in every worker, so it was not tried "
        "again"
    )
    failure.__cause__ = error
    return failure


def cannot_launch(error: OSError) -> WorkerStartError:
    """The system refuses what a worker needs."""
    hint = {
        errno.EMFILE: "this process may open no more files: raise `ulimit -n` (RLIMIT_NOFILE)",
        errno.ENFILE: "the system has no more open files to give",
        errno.EFBIG: FILE_SIZE_HINT,
        errno.ENOSPC: "there is no room where shared memory lies: /dev/shm or, where that is small "
        "or absent, the folder for temporary files (TMPDIR)",
        errno.EAGAIN: "no more processes may be started: see `ulimit -u`, or the container's limit",
        errno.ENOMEM: "there is no memory for it: use fewer workers",
        errno.ENOENT: "sys.executable does not exist: see multiprocessing.set_executable()",
    }.get(error.errno or 0, "see the cause")
    return WorkerStartError(f"cannot start a worker process: {error}; {hint}")


def died_too_often(count: int, death: Death, *, ready: bool, start_errors: str) -> WorkerStartError:
    """Workers die, one after the other, before they have done anything."""
    when = "before its first batch" if ready else "before it was ready"
    return WorkerStartError(
        f"{count} workers in a row died {when}, the last (pid {death.pid}) {_how(death)}"
        f"{_tail(start_errors)}"
    )


def killed_for_memory(death: Death, where: str) -> str:
    """The kernel has killed a worker for want of memory; `where`: the machine, or a group."""
    return f"{where} was out of memory, and worker {death.slot} (pid {death.pid}) was killed for it"


def no_room(why: str, wanted_bytes: int, available_bytes: int) -> str:
    """There is not as much memory as a worker has had that was killed for want of it."""
    return (
        f"{why}. Another needs {wanted_bytes / MIB:,.0f} MiB; {available_bytes / MIB:,.0f} MiB can "
        f"be had now, {(wanted_bytes - available_bytes) / MIB:,.0f} MiB too few: it is replaced "
        "when there is room. Use fewer workers, or smaller batches"
    )


def failed_start(death: Death, start_errors: str) -> str:
    """A worker has ended before its first batch, in words."""
    return f"the last one (pid {death.pid}) died before its first batch {_how(death)}" + _tail(
        start_errors
    )


def _tail(start_errors: str) -> str:
    return f". The end of its standard error:\n{start_errors}" if start_errors else ""


def _how(death: Death) -> str:
    code = death.exitcode
    if code is None:
        return "with an unknown exit status"
    return f"by signal {-code}" if code < 0 else f"with exit status {code}"
