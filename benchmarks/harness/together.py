"""The same function in several processes at once, all of them beginning together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["meet", "together"]

Answer = TypeVar("Answer")
PATIENCE_S = 60.0

_barrier: Any = None


def together(processes: int, function: Callable[..., Answer], *arguments: Any) -> list[Answer]:
    """Call `function(number, *arguments)` in forked processes; each must call `meet()`.

    It is what keeps one process from taking two calls, so it must come before the first is done.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    calls = [(number, *arguments) for number in range(processes)]
    with context.Pool(processes, initializer=_meet_at, initargs=(barrier,)) as pool:
        return pool.starmap(function, calls, chunksize=1)


def meet() -> None:
    """Wait until all processes are here."""
    _barrier.wait(PATIENCE_S)


def _meet_at(barrier: Any) -> None:
    global _barrier
    _barrier = barrier
