"""The end of a program in which threads of a framework ask for batches.

A thread that was made in C++ never comes back from Python once the interpreter is being taken
down, and TensorFlow waits for its own for ever: after a Ctrl-C, say, the program would not end.
So enqueuers are stopped before, which ends what such threads wait for; and they may leave first.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from seqloader.adapters.owner import EnqueuerOwner

__all__ = ["stop_at_exit"]

LIMIT_S: Final = 2.0
PAUSE_S: Final = 0.01
QUIET: Final = 5
"""Looks in a row that find no such thread in Python: between two calls it is outside, briefly."""

_alive: weakref.WeakSet[EnqueuerOwner[Any]] = weakref.WeakSet()


def stop_at_exit(owner: EnqueuerOwner[Any]) -> None:
    """Stop its enqueuer when the program ends, and let threads leave that wait for a batch."""
    _alive.add(owner)


@atexit.register
def _stop_all() -> None:
    owners = list(_alive)
    for owner in owners:
        owner.enqueuer.__exit__(SystemExit, None, None)  # without hooks
    deadline, quiet = time.monotonic() + LIMIT_S, 0
    while owners and quiet < QUIET and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        quiet = 0 if _foreign_threads() else quiet + 1


def _foreign_threads() -> set[int]:
    """Those that run Python now, and that Python has not made."""
    threads = threading.enumerate()
    ours = {thread.ident for thread in threads if not isinstance(thread, threading._DummyThread)}
    return {ident for ident in sys._current_frames() if ident not in ours}
