"""Traces that the environment asks for: `SEQLOADER_TRACE=run.json`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from seqloader.errors import SeqloaderWarning
from seqloader.run import messages
from seqloader.run.trace.events import Trace
from seqloader.run.trace.file import LIMIT_BYTES, InUseError, TraceFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.stats import Stats

__all__ = ["trace_by_environment"]

MOST_FILES: Final = 100

_written: set[str] = set()
"""By this process: what an enqueuer has written, a later one does not write over."""


def trace_by_environment(
    path: str, subject: str, facts: Callable[[], Stats | None], before: Trace | None
) -> Trace | None:
    """The trace that the environment asks for: the one of before goes on, or a new one begins.

    Every enqueuer of a process has a file of its own, and so have those of other processes that run
    at the same time: `run.json`, `run-2.json`, ...
    An error is a warning: whoever sets a variable does not want his training to fail.
    """
    try:
        if before is not None and before.file.failure is None:
            before.file.open()
            return before
        return Trace(_first_free(path), subject, facts)
    except InUseError as error:
        why = str(error) or "it is being written by another trace"
    except OSError as error:
        why = str(error)
    messages.issue(SeqloaderWarning(f"SEQLOADER_TRACE={path}: no trace is written: {why}"))
    return None


def _first_free(path: str) -> TraceFile:
    stem, ending = os.path.splitext(path)
    for number in range(1, MOST_FILES + 1):
        file = path if number == 1 else f"{stem}-{number}{ending}"
        if os.path.abspath(file) in _written:
            continue
        try:
            found = TraceFile(file, LIMIT_BYTES)
        except InUseError:
            continue
        _written.add(os.path.abspath(file))
        return found
    raise InUseError(f"{MOST_FILES} of them are written, or were by this process")
