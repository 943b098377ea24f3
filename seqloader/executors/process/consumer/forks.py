"""What happens to pools in a forked child of the consumer.

A child inherits the write ends of the life pipes and the ticket pipe: left open, they would keep
workers alive after the consumer's end for as long as the child lives. One hook, installed with the
first pool, closes the child's copies. It does nothing where no pool is open. A fork in C code
runs no hook: then the workers live until that child ends.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol

__all__ = ["watch"]


class Inherited(Protocol):
    """What a forked child finds of a pool."""

    def enter_child(self) -> None:
        """Close what the child is not to have."""


_pools: weakref.WeakSet[Inherited] = weakref.WeakSet()
_installed = False


def watch(pool: Inherited) -> None:
    """Have `pool` told in forked children."""
    global _installed
    if not _installed and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_enter_child)
        _installed = True
    _pools.add(pool)


def _enter_child() -> None:
    for pool in list(_pools):
        with contextlib.suppress(OSError):
            pool.enter_child()
    _pools.clear()
