"""The Sequence of a worker of a plain pool: handed over once, when the worker starts."""

from __future__ import annotations

from typing import Any

__all__ = ["adopt", "compute"]

_adopted: Any = None


def adopt(sequence: Any) -> None:
    """The initializer of the pool's workers."""
    global _adopted
    _adopted = sequence


def compute(index: int) -> Any:
    """The pool's task."""
    return _adopted[index]
