"""Errors and warnings of seqloader, grouped by who must act.

Every one keeps its facts as fields, and survives pickling with them.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ENDINGS",
    "ERRORS",
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
    "call_users",
    "is_own",
    "method_name",
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
        peak_rss_bytes: the most memory it had resident; None where the system did not say, as on
            Linux below what the consumer had had when it made the worker.
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


ENDINGS: Final = (StopIteration, StopAsyncIteration, GeneratorExit)
"""By these Python itself ends iterations. See [an exception is never an end]."""

ERRORS: Final = (Exception, GeneratorExit)
"""What counts as an error where user code raises it: GeneratorExit does, because a RuntimeError is
raised in its place. Anything else may be a Ctrl-C or the end of the program."""

# Note [an exception is never an end]
#     A StopIteration of user code that leaves an iterator's `__next__` would be an early end of the
#     epoch without a word: `next(iterator)` on an exhausted one is all it takes. So wherever user
#     code is called, what Python reads as an end becomes a RuntimeError that names the function, as
#     PEP 479 does for generators; the original is its cause. Whatever else user code raises is
#     raised as it is, KeyboardInterrupt and SystemExit included. Our own StopIteration is raised
#     where no code of the user's is called any more.


def as_raisable(error: BaseException, where: str | None = None) -> BaseException:
    """The exception itself, or a RuntimeError around one that would end the caller's loop.

    Args:
        where: which function of the user's raised it; None: the traceback says.
    """
    if not issubclass(type(error), ENDINGS):
        return error
    kind = type(error).__name__
    raisable = RuntimeError(f"{where or _users_function(error)} raised {kind}")
    raisable.add_note(
        f"{kind} would be taken for the end of the epoch, so it is raised as a RuntimeError. "
        "next(iterator) raises StopIteration where nothing is left; next(iterator, None) does not"
    )
    raisable.__cause__ = error
    return raisable


def method_name(obj: object, name: str) -> str:
    """How a method is named in messages."""
    return f"{_short(type(obj).__qualname__)}.{name}()"


def call_users(where: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """Return `call(*arguments)`, code of the user's; an exception of it is never an end."""
    try:
        return call(*arguments)
    except ENDINGS as error:
        raise as_raisable(error, where) from error


def _users_function(error: BaseException) -> str:
    """What we called, for a message: the first function of the traceback that is not ours."""
    link = error.__traceback__
    while link is not None:
        code = link.tb_frame.f_code
        if not is_own(code.co_filename):
            return f"{_short(code.co_qualname)}()"
        link = link.tb_next
    return "__getitem__"


def _short(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]


# --- whose frames ---------------------------------------------------------------------------------


def is_own(file: str) -> bool:
    """Whether a code object with this file name is of seqloader.

    A frame's `co_filename`; what a symbolic link or an archive makes of the name of our own files
    is in all of them, since Python names them all after the path of the package.
    """
    return file.startswith(_PACKAGE)


_PACKAGE: Final = os.path.dirname(os.path.dirname(is_own.__code__.co_filename)) + os.sep
"""With the separator, for else it would be the beginning of `.../seqloader_data/...` as well. From
a code object and not from `__file__`: they are what it is compared with."""
