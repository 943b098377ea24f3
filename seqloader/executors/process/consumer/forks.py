"""What happens to pools in a forked child of the consumer.

A child inherits the write ends of the life pipes and the ticket pipe: left open, they would keep
workers alive after the consumer's end for as long as the child lives. One hook, installed with the
first pool, closes the child's copies. It does nothing where no pool is open. A fork in C code
runs no hook: then the workers live until that child ends.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Protocol

__all__ = ["launch", "watch"]


class Inherited(Protocol):
    """What a forked child finds of a pool."""

    pid: int
    """Of the process that made it."""

    def enter_worker(self) -> None:
        """The child is a worker of this pool: close what only the consumer may have."""

    def close(self) -> None:
        """The child is anything else: close its copies of all descriptors, touch nothing else."""


class _ThisThread(threading.local):
    launches: Inherited | None = None
    """The pool that forks a worker in this thread just now. Other threads fork as well, for pools
    of their own or for anything else; a child is what the thread that forked it wanted."""


_this_thread = _ThisThread()
_pools: weakref.WeakSet[Inherited] = weakref.WeakSet()
_installed = False


def watch(pool: Inherited) -> None:
    """Have `pool` closed in forked children."""
    global _installed
    if not _installed and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_close_all)
        _installed = True
    _pools.add(pool)


def launch(pool: Inherited | None) -> None:
    """What this thread forks from now on is a worker of `pool`; None: is not."""
    _this_thread.launches = pool


def _close_all() -> None:
    for pool in list(_pools):
        if pool.pid != os.getpid():
            with contextlib.suppress(OSError):
                if pool is _this_thread.launches:
                    pool.enter_worker()
                else:
                    pool.close()
    _pools.clear()
