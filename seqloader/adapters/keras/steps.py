"""The number of steps of a pass, as an object."""

from __future__ import annotations

import math
import numbers
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Steps"]

ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
OF_BITS = ("lshift", "rshift", "and_", "or_", "xor")


class Steps:
    """A whole number that is read anew whenever it is used.

    Keras takes `num_batches` of a dataset once for all epochs of a `fit`. The length of a Sequence
    may change between epochs, and the first pass after a resume has only what is left of its epoch.

    Args:
        read: What the number is now.
    """

    __slots__ = ("_read",)
    __hash__ = None  # type: ignore[assignment]  # it changes

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read

    def __index__(self) -> int:
        return self._read()

    __int__ = __index__

    def __bool__(self) -> bool:
        return self._read() != 0

    def __float__(self) -> float:
        return float(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def __format__(self, spec: str) -> str:
        return format(self._read(), spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        return np.array(self._read(), dtype)

    def __reduce__(self) -> Any:
        return int, (self._read(),)  # copies are plain numbers


def _set_operators() -> None:
    """All that a whole number can do, done with the number that it is now."""

    def one(apply: Callable[[int], Any]) -> Callable[[Steps], Any]:
        return lambda self: apply(self._read())

    def two(apply: Callable[[Any, Any], Any]) -> Callable[[Steps, Any], Any]:
        return lambda self, other: apply(self._read(), _now(other))

    def reflected(apply: Callable[[Any, Any], Any]) -> Callable[[Steps, Any], Any]:
        return lambda self, other: apply(_now(other), self._read())

    for name in ("lt", "le", "eq", "ne", "gt", "ge"):
        setattr(Steps, f"__{name}__", two(getattr(operator, name)))
    operators = {name: getattr(operator, name) for name in (*ARITHMETIC, *OF_BITS)}
    for name, apply in {**operators, "divmod": divmod}.items():
        setattr(Steps, f"__{name.rstrip('_')}__", two(apply))
        setattr(Steps, f"__r{name.rstrip('_')}__", reflected(apply))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(Steps, f"__{name}__", one(getattr(operator, name)))
    for name in ("trunc", "floor", "ceil"):
        setattr(Steps, f"__{name}__", one(getattr(math, name)))
    Steps.__round__ = one(round)  # type: ignore[attr-defined]


def _now(other: Any) -> Any:
    return other._read() if isinstance(other, Steps) else other


_set_operators()
numbers.Integral.register(Steps)
