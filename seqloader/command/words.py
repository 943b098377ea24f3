"""Figures in words, and how a process ended."""

from __future__ import annotations

import signal

from seqloader.stats.words import (
    TimeUnit,
    clock,
    count,
    duration,
    rate,
    share,
    short,
    size,
    three_digits,
    time_unit,
)

__all__ = [
    "TimeUnit",
    "clock",
    "count",
    "duration",
    "ending",
    "rate",
    "share",
    "short",
    "size",
    "three_digits",
    "time_unit",
]


def ending(exitcode: int | None) -> str:
    """How a process ended: an exit status, negative for a signal, None where nobody knows."""
    if exitcode is None:
        return "its process ended"
    if exitcode >= 0:
        return f"its process ended with exit status {exitcode}"
    try:
        return f"its process died by {signal.Signals(-exitcode).name}"
    except ValueError:  # a real-time signal has no name
        return f"its process died by signal {-exitcode}"
