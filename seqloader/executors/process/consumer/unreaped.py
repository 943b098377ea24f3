"""Children that were killed where nobody could wait for them."""

from __future__ import annotations

import contextlib
import os

__all__ = ["reap_later", "reap_left_over"]

_unreaped: list[int] = []
"""Processes that were killed where nobody could wait for them."""


def reap_later(pid: int) -> None:
    """Reap a killed child of ours some time."""
    _unreaped.append(pid)


def reap_left_over() -> None:
    """Reap what was closed before it could be reaped, as far as it has ended. Never blocks."""
    for pid in _unreaped[:]:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        with contextlib.suppress(ValueError):
            _unreaped.remove(pid)
