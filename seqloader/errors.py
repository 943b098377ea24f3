"""Errors and warnings of seqloader, grouped by who must act.

Every one keeps its facts as fields, and survives pickling with them.
"""

from __future__ import annotations

import signal
from typing import Any

__all__ = [
    "EnqueuerStopped",
    "ForkedEnqueuerError",
    "ResumeError",
    "SeqloaderError",
    "SeqloaderWarning",
    "SlowBatchWarning",
    "WorkerError",
    "WorkerLostError",
    "WorkerLostWarning",
    "WorkerStartError",
    "WorkerTraceback",
    "as_raisable",
]


class SeqloaderError(RuntimeError):
    """Base of the errors that seqloader itself raises while it runs."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any]
) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class EnqueuerStopped(SeqloaderError):
    """`stop()` cut an epoch short while a `for` loop was in it. Nothing for the user to mend."""


class ForkedEnqueuerError(SeqloaderError):
    """The enqueuer was inherited by a forked child: it belongs to the process that made it."""


class ResumeError(SeqloaderError):
    """A saved state does not fit: it was saved by another run, or the data have changed since.

    Attributes:
        differences: a sentence for each thing that differs.
    """

    def __init__(self, message: str, *, differences: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.differences = differences


class WorkerStartError(SeqloaderError):
    """Workers cannot start: the environment, `worker_init` or the Sequence must be mended."""


class WorkerLostError(SeqloaderError):
    """A batch outlived every worker it was given to: the batch or the memory must be mended.

    Attributes:
        epoch: number of the pass.
        position: when in that epoch.
        index: which batch.
        attempts: how many workers it was given to.
        pid: the last of them.
        exitcode: its exit code; negative for a signal; None where the system did not say.
        peak_rss_bytes: the most memory it had resident; None where the system did not say.
        reason: "died", or "timeout" where `timeout_s` ended it.
    """

    def __init__(
        self,
        message: str,
        *,
        epoch: int,
        position: int,
        index: int,
        attempts: int,
        pid: int,
        exitcode: int | None,
        peak_rss_bytes: int | None,
        reason: str,
    ) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.position = position
        self.index = index
        self.attempts = attempts
        self.pid = pid
        self.exitcode = exitcode
        self.peak_rss_bytes = peak_rss_bytes
        self.reason = reason

    @property
    def signal(self) -> signal.Signals | None:
        """The signal that ended the last worker, if one did."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        try:
            return signal.Signals(-self.exitcode)
        except ValueError:  # a real-time signal has no name
            return None


class WorkerError(SeqloaderError):
    """Stands for a worker's exception that could not be brought to the consumer as itself.

    Attributes:
        type_name: qualified name of the original type.
        text: `str()` of the original.
        why: why the original could not travel.
    """

    def __init__(self, message: str, *, type_name: str, text: str, why: str) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.text = text
        self.why = why


class WorkerTraceback(Exception):
    """The worker's traceback as text: the last cause of an exception that a worker raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}" if self.args else ""


class SeqloaderWarning(RuntimeWarning):
    """Base of the warnings of seqloader."""


class WorkerLostWarning(SeqloaderWarning):
    """A worker died and was replaced; no batch is lost."""


class SlowBatchWarning(SeqloaderWarning):
    """The consumer has waited long for one batch."""


def as_raisable(error: BaseException) -> BaseException:
    """The exception itself, or a RuntimeError around one that would end the caller's loop.

    A StopIteration of user code, raised by an iterator's `__next__`, would be an early end of the
    epoch without a word. As PEP 479 does for generators.
    """
    if not issubclass(type(error), (StopIteration, StopAsyncIteration, GeneratorExit)):
        return error
    raisable = RuntimeError(f"__getitem__ raised {type(error).__name__}")
    raisable.__cause__ = error
    return raisable
