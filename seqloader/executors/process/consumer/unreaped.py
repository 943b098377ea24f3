"""Children of ours that were killed, and not reaped yet.

Whose children they were first does not matter: where the consumer is a child subreaper, or process
1 of a container, what a dead process leaves behind becomes its child. A zygote leaves its workers,
a worker leaves what user code has started. Nobody else knows of these, so nobody else reaps them.

Rules
    R1  Nothing but what is known is waited for, by its number or that of its group: never any
        child, since others are the user's.
    R2  Who leads a group is known with its group. As long as one of them is a child of ours, no
        other process or group can have the number.
    R3  A number is noted while it is its process's for certain: of a child of ours that we have not
        reaped; or of a child of a zygote that has ended, and did not reap it, where orphans are
        ours. In doubt it is not: a zombie costs a number, and a status taken from the user an
        answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Final

__all__ = ["adopts_orphans", "reap_group", "reap_later", "reap_left_over"]

_PR_GET_CHILD_SUBREAPER: Final = 37
"""Of Linux; Python does not name it."""
_PAUSE_S: Final = 0.002

_unreaped: list[int] = []
"""Leaders of process groups that were killed."""


def adopts_orphans() -> bool:
    """Whether children of a dead child of ours become our own."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    import ctypes

    found = ctypes.c_int(0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    return bool(found.value)


def reap_later(leader: int) -> None:
    """Reap a killed child of ours, and what it leaves in its group, some time."""
    _unreaped.append(leader)


def reap_group(leader: int) -> None:
    """The same for a child that was reaped just now: only its group is left, if anything."""
    if not _has_ended(-leader):
        _unreaped.append(leader)


def reap_left_over(patience_s: float = 0.0) -> None:
    """Reap what could not be reaped before, as far as it has ended.

    Args:
        patience_s: how long to wait for what has not.
    """
    deadline = time.monotonic() + patience_s
    while True:
        for leader in _unreaped[:]:
            if _has_ended(leader) and _has_ended(-leader):
                with contextlib.suppress(ValueError):
                    _unreaped.remove(leader)
        if not _unreaped or time.monotonic() >= deadline:
            return
        time.sleep(_PAUSE_S)


def _has_ended(number: int) -> bool:
    """Whether the process, or the group where it is negative, has no child of ours any more."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(number, os.WNOHANG) != (0, 0):
            if number > 0:
                return True
        return False
    return True
