"""Whether an error is clear: the same rule for everybody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from scoreboard.facts import Raised

__all__ = ["RULE", "is_clear", "is_own", "tells_of_a_missing_guard"]

RULE: Final = """
The user must be able to tell from it what happened. What counts is the type and text of the
exception that the consumer gets, its notes, and the same of what caused it: all that a traceback
shows but the code. Any of these is enough, in capitals or not:

- **a worker died**: the process id of a worker; a signal, by its name or number; an exit code or
  status; or words such as "worker ... died" and "process ... terminated"
- **out of time**: "timed out" or "timeout"
- **something ran short**: "too many open files", "no space left", "out of memory", "cannot
  allocate", "shared memory", "/dev/shm" or "bus error"
- **no guard**, where that is the fault: "`__main__`" or "bootstrapping", there or on standard
  error, which is where Python prints its advice

An exception of the user's own is clear if it arrives with its type, or if its type and its text
are in the error that arrives in its place. Where the fault is about its type, the type must be
right.
"""
"""As the page tells it. The patterns below are it."""

_DEATH: Final = re.compile(
    r"""
      \bsig(kill|stop|bus|segv|term|abrt|chld)\b
    | \bsignal:?\s*(\d+|killed|bus)
    | \bkilled\ by\b
    | \bexit[ _-]?(code|status)
    | \b(worker|process|subprocess|actor|child)e?s?\b.{0,80}
      \b(died|dead|killed|terminated|exited|crash\w*|lost|aborted|unexpected\w*|abrupt\w*|gone)\b
    | \b(died|dead|killed|terminated|crash\w*|lost)\b.{0,40}
      \b(worker|process|subprocess|actor|child)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_TIME: Final = re.compile(r"time[ds]?[ -]?out", re.IGNORECASE)
_SHORTAGE: Final = re.compile(
    r"too many open files|no space left|out of memory|cannot allocate|shared memory|/dev/shm"
    r"|bus error",
    re.IGNORECASE,
)
_GUARD: Final = re.compile(r"__main__|bootstrapping")


def is_clear(raised: Raised, worker_pids: Sequence[int] = ()) -> bool:
    """Whether an error that is not the user's own says what happened."""
    text = raised.text
    if any(re.search(rf"\b{pid}\b", text) for pid in worker_pids):
        return True
    return any(pattern.search(text) for pattern in (_DEATH, _TIME, _SHORTAGE))


def is_own(raised: Raised, name: str, says: str, *, type_matters: bool) -> bool:
    """Whether an error is the user's own, or tells its type and text."""
    return raised.own or (not type_matters and name in raised.text and says in raised.text)


def tells_of_a_missing_guard(text: str) -> bool:
    return _GUARD.search(text) is not None
