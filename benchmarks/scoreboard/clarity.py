"""Whether an error is clear: one rule for everybody, which `pages/faults.md` tells in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from scoreboard.facts import Raised

__all__ = ["is_clear", "is_own", "tells_of_a_missing_guard"]

_PROCESS: Final = r"\b(worker|process|subprocess|actor|child)"
_CLEAR: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"\bsig(kill|stop|bus|segv|term|abrt|chld)\b",
        r"\bsignal:?\s*(\d+|killed|bus)",
        r"\bkilled by\b",
        r"\bexit[ _-]?(code|status)",
        _PROCESS + r"e?s?\b.{0,80}"
        r"\b(died|dead|killed|terminated|exited|crash\w*|lost|aborted|unexpected\w*|abrupt\w*"
        r"|gone)\b",
        r"\b(died|dead|killed|terminated|crash\w*|lost)\b.{0,40}" + _PROCESS,
        r"time[ds]?[ -]?out",
        r"too many open files|no space left|out of memory|cannot allocate|shared memory|/dev/shm"
        r"|bus error",
    )
)
_GUARD: Final = re.compile(r"__main__|bootstrapping")


def is_clear(raised: Raised, worker_pids: Sequence[int] = ()) -> bool:
    """Whether an error that is not the user's own says what happened."""
    text = raised.text
    if any(re.search(rf"\b{pid}\b", text) for pid in worker_pids):
        return True
    return any(pattern.search(text) for pattern in _CLEAR)


def is_own(raised: Raised, name: str, says: str, *, type_matters: bool) -> bool:
    """Whether an error is the user's own, or tells its type and text."""
    return raised.own or (not type_matters and name in raised.text and says in raised.text)


def tells_of_a_missing_guard(text: str) -> bool:
    return _GUARD.search(text) is not None
