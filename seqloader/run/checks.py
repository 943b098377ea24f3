"""One argument of the user's at a time: returned as it is meant, or refused by its name."""

from __future__ import annotations

import numbers
import os
from collections import abc
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from seqloader.errors.integers import checked_integer

__all__ = [
    "boolean",
    "checked_place",
    "checked_timeout",
    "environment",
    "function_of_slot",
    "integer",
    "limit_s",
    "one_of",
    "optional",
    "queue_size",
    "seed_or_drawn",
]

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes name and value of an argument; returns the value as it is meant."""

MOST_SECONDS: Final = 1e6
"""Longer timeouts are cut to this: some system calls count milliseconds in 31 bits."""


# --- places and times, which are given to methods -------------------------------------------------


def checked_place(name: str, value: Any) -> int:
    """An epoch or a position."""
    return checked_integer(name, value, 0)


def checked_timeout(timeout: Any) -> float:
    """Seconds that a `stop()` may take."""
    return _seconds("timeout", timeout, "seconds, not negative, or None (5)", least=0)


def _seconds(name: str, value: Any, wanted: str, *, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    seconds = float(value)
    if not seconds >= least:
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
    return min(seconds, MOST_SECONDS)


# --- one argument each ----------------------------------------------------------------------------


def optional(check: Check, none: Any = None) -> Check:
    """The same check; but None is allowed, and stands for `none`."""
    return lambda name, value: none if value is None else check(name, value)


def integer(least: int, hint: str = "") -> Check:
    """A check of whole numbers; `hint` says why less than `least` is not possible."""
    return lambda name, value: checked_integer(name, value, least, hint=hint)


def one_of(choices: tuple[str, ...]) -> Check:
    """A check of what is one of a few words."""
    quoted = [f'"{choice}"' for choice in choices]
    wanted = " or ".join(quoted) if len(quoted) == 2 else "one of " + ", ".join(quoted)

    def check(name: str, value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"{name} must be {wanted}, not {value!r}")
        return value

    return check


queue_size: Final = optional(
    integer(
        1, "the classic 0, an unbounded queue, is not offered: it computed the whole epoch ahead"
    )
)
"""The bound on batches ahead."""


def seed_or_drawn(name: str, value: Any) -> int:
    """A seed; None: one is drawn from the system."""
    if value is None:  # not by `secrets`, which would bring a library of ciphers along
        return int.from_bytes(os.urandom(8), "little") >> 1
    return checked_integer(name, value, 0)


def limit_s(name: str, value: Any) -> float:
    """Seconds after which something is given up."""
    return _seconds(name, value, "positive seconds or None (no limit)", least=1e-9)


def boolean(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def function_of_slot(name: str, value: Any) -> Callable[[int], object]:
    """What can be called with a slot."""
    if not callable(value):
        raise TypeError(f"{name} must be callable as {name}(slot), not {value!r}")
    function: Callable[[int], object] = value
    return function


def environment(name: str, value: Any) -> dict[str, str]:
    """Environment variables and their values; None: none."""
    if value is None:
        return {}
    if not isinstance(value, abc.Mapping):
        raise TypeError(f"{name} must map variables to values, not {value!r}")
    variables = dict(value)
    for variable, text in variables.items():
        if not isinstance(variable, str) or not isinstance(text, str):
            raise TypeError(f"{name} must map str to str, not {variable!r} to {text!r}")
    return variables
