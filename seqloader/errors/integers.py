"""Whole numbers that users give: what counts as one, and what is said of what does not."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = ["as_integer", "checked_integer"]


def as_integer(value: Any) -> int | None:
    """The int that `value` is; None where it is no whole number.

    True and False pass for 1 and 0 in Python; where a number is asked for they are a mistake.
    """
    if type(value) is int:  # nearly always
        return value
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def checked_integer(
    name: str, value: Any, least: int, *, what: str = "an integer", hint: str = ""
) -> int:
    """Return `value` as an int.

    Raises:
        TypeError: it is not `what` it must be.
        ValueError: it is less than `least`; `hint` says why that is not possible.
    """
    number = as_integer(value)
    if number is None:
        raise TypeError(f"{name} must be {what}, not {value!r}")
    if number < least:
        because = f" ({hint})" if hint else ""
        raise ValueError(f"{name} must be at least {least}, not {number}{because}")
    return number
