"""What of a class is made in C, below what its own source defines. Pure."""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinFunctionType, WrapperDescriptorType
from typing import Any, Final

__all__ = ["builtin_method", "is_made_in_c"]

_HEAP_TYPE: Final = 1 << 9
_IMMUTABLE_TYPE: Final = 1 << 8


def is_made_in_c(cls: type) -> bool:
    """Whether no class statement has made it."""
    return not cls.__flags__ & _HEAP_TYPE or bool(cls.__flags__ & _IMMUTABLE_TYPE)


def builtin_method(cls: type, name: str) -> Callable[..., Any]:
    """The method made in C, of a class or metaclass, that all others end in."""
    kinds = BuiltinFunctionType, WrapperDescriptorType
    return next(
        found for base in cls.__mro__ if isinstance(found := base.__dict__.get(name), kinds)
    )
