"""Figures in words."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "TimeUnit",
    "clock",
    "count",
    "duration",
    "rate",
    "share",
    "short",
    "size",
    "three_digits",
    "time_unit",
]


class TimeUnit(NamedTuple):
    """A unit that shows a duration in few digits."""

    name: str
    factor: float
    """Of it to a second."""


TIME_UNITS = (TimeUnit("s", 1.0), TimeUnit("ms", 1e3), TimeUnit("us", 1e6))
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def short(value: float) -> str:
    """Three digits, and no more than the whole number of a large one."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2}f}"


def three_digits(value: float) -> str:
    """The same without noughts at the end: figures of any size in one column."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def clock(seconds: float) -> str:
    """`1:05`: minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def time_unit(seconds: float) -> TimeUnit:
    """The largest unit of which there is at least one."""
    return next((unit for unit in TIME_UNITS if seconds * unit.factor >= 1), TIME_UNITS[-1])


def duration(seconds: float) -> str:
    """`9.20 us`, `38.5 ms`, `1.24 s`."""
    unit = time_unit(seconds)
    return f"{short(seconds * unit.factor)} {unit.name}"


def size(nbytes: float) -> str:
    """`1.28 kB`, `38.5 MB`, `4.10 GB`."""
    for unit_bytes, unit in SIZES:
        if nbytes >= unit_bytes:
            return f"{short(nbytes / unit_bytes)} {unit}"
    return f"{nbytes:.0f} bytes"


def rate(batches_per_s: float) -> str:
    """`88,600 batches/s`."""
    return f"{short(batches_per_s)} batches/s"


def share(value: float) -> str:
    """`99%`; clocks that disagree make no more than `100%`."""
    return f"{min(1.0, value):.0%}"


def count(number: int, noun: str) -> str:
    """`1 worker`, `3 workers`, `no workers`."""
    if noun == "try" and number != 1:
        return f"{number or 'no'} tries"
    ending = "" if number == 1 else "es" if noun.endswith("tch") else "s"
    return f"{number or 'no'} {noun}{ending}"
