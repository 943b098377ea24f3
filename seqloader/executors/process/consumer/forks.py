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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqloader.executors.process.consumer.pool import Pool

__all__ = ["launch", "watch"]

_this_thread = threading.local()
"""`launches`: the pool that forks a worker in this thread just now. Other threads fork as well, for
pools of their own or for anything else; a child is what the thread that forked it wanted."""
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_installed = False


def watch(pool: Pool) -> None:
    """Have `pool` abandoned in forked children."""
    global _installed
    if not _installed and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_abandon)
        _installed = True
    _pools.add(pool)


def launch(pool: Pool | None) -> None:
    """What this thread forks from now on is a worker of `pool`; None: is not."""
    _this_thread.launches = pool


def _abandon() -> None:
    launches = getattr(_this_thread, "launches", None)
    for pool in list(_pools):
        if pool.pid != os.getpid():
            with contextlib.suppress(OSError):
                if pool is launches:
                    pool.enter_worker()
                else:
                    pool.abandon()
    _pools.clear()
