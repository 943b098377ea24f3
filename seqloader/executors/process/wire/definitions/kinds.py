"""What else Python pickles by its name, or not at all, although it consists of what can travel:
cached functions, `NewType`, type variables, ufuncs made of functions, weak references, ...

Each is rebuilt from its parts; those that have an identity are numbered, so that what refers to
itself (a cached recursive function) is one object there too.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import gc
import logging
import pickle
import typing
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from seqloader.executors.process.wire.definitions import numbers, script
from seqloader.executors.process.wire.definitions.builtin import is_made_in_c
from seqloader.executors.process.wire.faithful import FAITHFUL_REDUCERS

__all__ = ["KNOWN_BY_NAME", "reducer_of"]


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """What reduces objects of one of these kinds; it answers NotImplemented where pickle's own way
    will do. None: it is none of them."""
    reducer = _REDUCERS.get(kind) or FAITHFUL_REDUCERS.get(kind.__name__)
    if reducer is None and any(base in _DESCRIPTORS for base in kind.__mro__):
        reducer = _reduce_descriptor
    if reducer is None and kind.__reduce__ is not object.__reduce__:  # type: ignore[comparison-overlap]
        is_of_library = kind.__module__ != "builtins" and not script.is_of_script(kind.__module__)
        reducer = _reduce_named if is_of_library else None
    return reducer


def _numbered(obj: Any, make: Callable[..., Any], *parts: Any) -> tuple[Any, ...]:
    name = script.name_in_script(obj)
    return make_numbered, (numbers.take_number(obj), name, make, *parts)


def make_numbered(number: str, name: str, make: Callable[..., Any], *parts: Any) -> Any:
    """In the worker: the object that has the number; made of the parts if there is none."""
    made = numbers.known(number)
    if made is None:
        made = make(*parts)
        numbers.enter(number, name, made)
    return made


# Functions in wrappings.


def _reduce_cached(cached: Any) -> Any:
    function = getattr(cached, "__wrapped__", None)
    if function is None or not any(part is function for part in gc.get_referents(cached)):
        return NotImplemented
    options = cached.cache_parameters()
    attributes = dict(vars(cached))
    attributes.pop("cache_parameters", None)  # made anew with the wrapping
    parts = options["maxsize"], options["typed"], function
    return *_numbered(cached, make_cached, *parts), attributes


def make_cached(maxsize: int | None, typed: bool, function: Callable[..., Any]) -> Any:
    """In the worker: a function with an empty cache."""
    return functools.lru_cache(maxsize, typed)(function)


def _reduce_descriptor(descriptor: Any) -> Any:
    attributes = dict(getattr(descriptor, "__dict__", {}))
    parts: tuple[Any, ...]
    if isinstance(descriptor, property):
        parts = descriptor.fget, descriptor.fset, descriptor.fdel, descriptor.__doc__
    elif isinstance(descriptor, functools.cached_property):
        parts = (getattr(descriptor, "func", None),)
        attributes.pop("lock", None)  # up to Python 3.11; made anew
    else:
        parts = (descriptor.__func__,)
    return make_descriptor, (type(descriptor), *parts), attributes or None


def make_descriptor(kind: Any, *parts: Any) -> Any:
    """In the worker. The `__init__` of a class derived from these does not run again."""
    made = kind.__new__(kind)
    base = next(base for base in kind.__mro__ if base in _DESCRIPTORS)
    base.__init__(made, *parts)
    return made


def _reduce_ufunc(ufunc: Any) -> Any:
    # numpy keeps the function that `frompyfunc` was given, and has no way to ask for it.
    functions = [part for part in gc.get_referents(ufunc) if callable(part)]
    if len(functions) != 1 or script.look_up("numpy", ufunc.__name__) is ufunc:
        return NotImplemented
    return _numbered(ufunc, make_ufunc, functions[0], ufunc.nin, ufunc.nout, ufunc.identity)


def make_ufunc(function: Any, nin: int, nout: int, identity: Any) -> Any:
    """In the worker."""
    options = {} if identity is None else {"identity": identity}
    return np.frompyfunc(function, nin, nout, **options)


def _reduce_named(obj: Any) -> Any:
    """What a library made of a function of the script may say that it is found by its name."""
    if not script.is_of_script(script.plain_attribute(obj, "__module__")):
        return NotImplemented
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, str):
        return reduced
    kind = type(obj)
    if not hasattr(obj, "__dict__") or is_made_in_c(kind):
        raise pickle.PicklingError(
            f"it says that it is found as {obj.__module__}.{reduced}, and a worker does not run "
            "the script: make it in a module that can be imported"
        )
    return *_numbered(obj, object.__new__, kind), object.__getstate__(obj)


# Types for annotations.


def _reduce_new_type(new_type: Any) -> Any:
    parts = new_type.__name__, new_type.__supertype__
    attributes = {"__qualname__": new_type.__qualname__, "__module__": new_type.__module__}
    return *_numbered(new_type, typing.NewType, *parts), attributes


def _reduce_type_variable(variable: Any) -> Any:
    options: dict[str, Any] = {}
    if isinstance(variable, (typing.TypeVar, typing.ParamSpec)):
        options["bound"] = variable.__bound__
        options["covariant"] = variable.__covariant__
        options["contravariant"] = variable.__contravariant__
    if getattr(variable, "__infer_variance__", False):
        options["infer_variance"] = True
    if getattr(variable, "has_default", bool)():
        options["default"] = variable.__default__
    constraints = getattr(variable, "__constraints__", ())
    parts = type(variable), variable.__name__, constraints, options, variable.__module__
    return _numbered(variable, make_type_variable, *parts)


def make_type_variable(
    kind: Any, name: str, constraints: tuple[Any, ...], options: dict[str, Any], module: str
) -> Any:
    """In the worker."""
    made = kind(name, *constraints, **options)
    made.__module__ = module
    return made


def _reduce_type_alias(alias: Any) -> Any:
    parts = alias.__name__, alias.__value__, alias.__type_params__
    return _numbered(alias, make_type_alias, *parts)


def make_type_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    """In the worker."""
    return typing.TypeAliasType(name, value, type_params=parameters)  # type: ignore[attr-defined]


# Others.


def _reduce_sentinel(sentinel: Any) -> Any:
    for name, value in vars(dataclasses).items():
        if value is sentinel:
            return getattr, (dataclasses, name)
    return NotImplemented


def _reduce_weak_reference(reference: Any) -> Any:
    target = reference()
    if target is None:
        return make_dead_reference, ()
    callback = reference.__callback__
    return type(reference), (target,) if callback is None else (target, callback)


def make_dead_reference() -> Any:
    """In the worker: a reference to what is gone."""
    return weakref.ref(type("Gone", (), {})())


def _reduce_context_variable(variable: contextvars.ContextVar[Any]) -> Any:
    default, now = contextvars.Context().run(_value_of, variable), _value_of(variable)
    return _numbered(variable, make_context_variable, variable.name, default, now)


def _value_of(variable: contextvars.ContextVar[Any]) -> list[Any]:
    try:
        return [variable.get()]
    except LookupError:
        return []


def make_context_variable(name: str, default: list[Any], now: list[Any]) -> Any:
    """In the worker: with the value that it has where the Sequence is sent."""
    options = {"default": default[0]} if default else {}
    made: contextvars.ContextVar[Any] = contextvars.ContextVar(name, **options)
    if now and not (default and now[0] is default[0]):
        made.set(now[0])
    return made


def _reduce_logger(logger: logging.Logger) -> Any:
    return logging.getLogger, () if isinstance(logger, logging.RootLogger) else (logger.name,)


_NAMED: Final[dict[type, Callable[[Any], Any]]] = {
    type(functools.lru_cache(int)): _reduce_cached,
    typing.NewType: _reduce_new_type,
    typing.TypeVar: _reduce_type_variable,
    typing.ParamSpec: _reduce_type_variable,
    typing.TypeVarTuple: _reduce_type_variable,
}
if hasattr(typing, "TypeAliasType"):
    _NAMED[typing.TypeAliasType] = _reduce_type_alias

KNOWN_BY_NAME: Final = frozenset(_NAMED)
"""Kinds that a module has under their names: what a worker can import is not taken apart."""

_DESCRIPTORS: Final = frozenset({property, classmethod, staticmethod, functools.cached_property})
"""Classes may be derived from them, which pickle would rebuild without their function."""

_SENTINELS: Final = ("MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY", "_FIELD")

_REDUCERS: Final[dict[type, Callable[[Any], Any]]] = {
    **_NAMED,
    **dict.fromkeys((type(getattr(dataclasses, name)) for name in _SENTINELS), _reduce_sentinel),
    np.ufunc: _reduce_ufunc,
    weakref.ref: _reduce_weak_reference,
    contextvars.ContextVar: _reduce_context_variable,
    logging.Logger: _reduce_logger,
    logging.RootLogger: _reduce_logger,
}
