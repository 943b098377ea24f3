"""Counts workers that die before their first batch: when to give up starting new ones. Pure."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from seqloader.errors import WorkerStartError
from seqloader.memory.memfile import FILE_SIZE_HINT

if TYPE_CHECKING:
    from seqloader.tickets import Death

__all__ = ["Starts", "cannot_launch", "died_too_often", "start_failure"]


class Starts:
    """Deaths before a first batch, over all slots of a pool.

    Three in a row with no batch in between mean that workers cannot work. While others do, a worker
    may well be killed three times while it starts; but not for ever.
    """

    LIMIT: ClassVar = 3
    LIMIT_DESPITE_BATCHES: ClassVar = 12

    def __init__(self) -> None:
        self._in_a_row = 0
        self._never_worked = 0

    def died(self) -> bool:
        """Note one such death, of a worker that held no ticket. True: give up."""
        self._in_a_row += 1
        self._never_worked += 1
        return self._in_a_row >= self.LIMIT or self._never_worked >= self.LIMIT_DESPITE_BATCHES

    @property
    def in_a_row(self) -> int:
        """How many there were, for messages."""
        return max(self._in_a_row, self._never_worked)

    def answered(self) -> None:
        """Some worker has answered a ticket."""
        self._in_a_row = 0

    def works(self) -> None:
        """A new worker has answered its first ticket."""
        self._in_a_row = self._never_worked = 0


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
    tail = f". The end of its standard error:\n{start_errors}" if start_errors else ""
    return WorkerStartError(
        f"{count} workers in a row died {when}, the last (pid {death.pid}) {_how(death)}{tail}"
    )


def _how(death: Death) -> str:
    code = death.exitcode
    if code is None:
        return "with an unknown exit status"
    return f"by signal {-code}" if code < 0 else f"with exit status {code}"
