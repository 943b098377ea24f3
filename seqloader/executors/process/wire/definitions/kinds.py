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
import threading
import typing
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from seqloader.executors.process.wire.definitions import numbers, script
from seqloader.executors.process.wire.definitions.functions import is_made_by_hand
from seqloader.executors.process.wire.faithful import FAITHFUL_REDUCERS

__all__ = ["reducer_of"]

_HEAP_TYPE: Final = 1 << 9
"""Flag of types that are made by a class statement."""


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """What reduces objects of one of these kinds; it answers NotImplemented where pickle's own way
    will do. None: it is none of them."""
    reducer = _REDUCERS.get(kind) or FAITHFUL_REDUCERS.get(kind.__name__)
    if reducer is None:
        derived = (base for base in kind.__mro__ if base in _WITH_SUBCLASSES)
        reducer = next((_REDUCERS[base] for base in derived), None)
    if reducer is None and _reduces_itself(kind) and _is_foreign(kind):
        reducer = _reduce_named
    return reducer


def _reduces_itself(kind: Any) -> bool:
    return kind.__reduce__ is not object.__reduce__


def _is_foreign(kind: type) -> bool:
    return kind.__module__ != "builtins" and not script.is_of_script(kind.__module__)


def _is_imported(obj: Any, name: object) -> bool:
    """Whether a worker finds the object by importing its module."""
    module: Any = getattr(obj, "__module__", None)
    if script.is_of_script(module) or script.look_up(module, name) is not obj:
        return False
    return not is_made_by_hand(module)


def _numbered(obj: Any, make: Callable[..., Any], *parts: Any) -> tuple[Any, ...]:
    name = script.name_in_script(obj)
    return make_numbered, (numbers.take_number(obj), name, make, *parts)


def make_numbered(number: str, name: str, make: Callable[..., Any], *parts: Any) -> Any:
    """In the worker: the object that has the number; made of the parts if there is none."""
    made = numbers.known(number)
    if made is None:
        made = make(*parts)
        numbers.remember(number, made)
        script.bind(name, made)
    return made


# Functions in wrappings.


def _reduce_cached(cached: Any) -> Any:
    if _is_imported(cached, getattr(cached, "__qualname__", None)):
        return NotImplemented
    options = cached.cache_parameters()
    function = next(
        (part for part in gc.get_referents(cached) if part is getattr(cached, "__wrapped__", None)),
        None,
    )
    if function is None:
        return NotImplemented
    attributes = dict(vars(cached))
    attributes.pop("cache_parameters", None)  # made anew with the wrapping
    return *_numbered(
        cached, make_cached, options["maxsize"], options["typed"], function
    ), attributes


def make_cached(maxsize: int | None, typed: bool, function: Callable[..., Any]) -> Any:
    """In the worker: a function with an empty cache."""
    return functools.lru_cache(maxsize, typed)(function)


def _reduce_cached_property(prop: Any) -> Any:
    attributes = dict(vars(prop))
    lock = attributes.pop("lock", None)  # up to Python 3.11
    return make_cached_property, (type(prop), lock is not None), attributes


def make_cached_property(kind: Any, locks: bool) -> Any:
    """In the worker: one without its function yet."""
    made = kind.__new__(kind)
    if locks:
        made.lock = threading.RLock()
    return made


def _reduce_property(prop: Any) -> Any:
    parts = type(prop), prop.fget, prop.fset, prop.fdel, prop.__doc__
    return make_property, parts, dict(vars(prop)) if hasattr(prop, "__dict__") else None


def make_property(kind: Any, *parts: Any) -> Any:
    """In the worker."""
    made = kind.__new__(kind)
    property.__init__(made, *parts)
    return made


def _reduce_wrapped_method(method: Any) -> Any:
    return make_wrapped_method, (type(method), method.__func__), dict(vars(method))


def make_wrapped_method(kind: Any, function: Any) -> Any:
    """In the worker: a class method or static method, or one of a class derived from them."""
    base = classmethod if issubclass(kind, classmethod) else staticmethod
    made = kind.__new__(kind)
    base.__init__(made, function)
    return made


def _reduce_ufunc(ufunc: Any) -> Any:
    # numpy keeps the function that `frompyfunc` was given, and has no way to ask for it.
    functions = [part for part in gc.get_referents(ufunc) if callable(part)]
    if len(functions) != 1 or script.look_up("numpy", ufunc.__name__) is ufunc:
        return NotImplemented
    return _numbered(ufunc, make_ufunc, functions[0], ufunc.nin, ufunc.nout, ufunc.identity)


def make_ufunc(function: Any, nin: int, nout: int, identity: Any) -> Any:
    """In the worker."""
    if identity is None:
        return np.frompyfunc(function, nin, nout)
    return np.frompyfunc(function, nin, nout, identity=identity)


def _reduce_named(obj: Any) -> Any:
    """What a library made of a function of the script may say that it is found by its name."""
    if not script.is_of_script(getattr(obj, "__module__", None)):
        return NotImplemented
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, str):
        return reduced
    kind = type(obj)
    if not hasattr(obj, "__dict__") or not kind.__flags__ & _HEAP_TYPE:
        raise pickle.PicklingError(
            f"it says that it is found as {obj.__module__}.{reduced}, and a worker does not run "
            "the script: make it in a module that can be imported"
        )
    return *_numbered(obj, object.__new__, kind), object.__getstate__(obj)


# Types for annotations.


def _reduce_new_type(new_type: Any) -> Any:
    if _is_imported(new_type, new_type.__qualname__):
        return NotImplemented
    parts = new_type.__name__, new_type.__supertype__
    attributes = {"__qualname__": new_type.__qualname__, "__module__": new_type.__module__}
    return *_numbered(new_type, typing.NewType, *parts), attributes


def _reduce_type_variable(variable: Any) -> Any:
    if _is_imported(variable, variable.__name__):
        return NotImplemented
    name, constraints = variable.__name__, ()
    options: dict[str, Any] = {}
    if isinstance(variable, (typing.TypeVar, typing.ParamSpec)):
        options["bound"] = variable.__bound__
        options["covariant"] = variable.__covariant__
        options["contravariant"] = variable.__contravariant__
    if isinstance(variable, typing.TypeVar):
        constraints = variable.__constraints__
    if getattr(variable, "__infer_variance__", False):
        options["infer_variance"] = True
    if getattr(variable, "has_default", bool)():
        options["default"] = variable.__default__
    parts = type(variable), name, constraints, options, variable.__module__
    return _numbered(variable, make_type_variable, *parts)


def make_type_variable(
    kind: Any, name: str, constraints: tuple[Any, ...], options: dict[str, Any], module: str
) -> Any:
    """In the worker."""
    made = kind(name, *constraints, **options)
    made.__module__ = module
    return made


def _reduce_type_alias(alias: Any) -> Any:
    if _is_imported(alias, alias.__name__):
        return NotImplemented
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
    missing: list[Any] = []
    default = _value(contextvars.Context().run, variable, missing)
    now = _value(lambda get: get(), variable, missing)
    return _numbered(variable, make_context_variable, variable.name, default, now)


def _value(run: Callable[..., Any], variable: Any, missing: list[Any]) -> list[Any]:
    try:
        return [run(variable.get)]
    except LookupError:
        return missing


def make_context_variable(name: str, default: list[Any], now: list[Any]) -> Any:
    """In the worker: with the value that it has where the Sequence is sent."""
    made: Any = (
        contextvars.ContextVar(name, default=default[0])
        if default
        else contextvars.ContextVar(name)
    )
    if now and not (default and now[0] is default[0]):
        made.set(now[0])
    return made


def _reduce_logger(logger: logging.Logger) -> Any:
    return logging.getLogger, () if isinstance(logger, logging.RootLogger) else (logger.name,)


_REDUCERS: Final[dict[type, Callable[[Any], Any]]] = {
    type(functools.lru_cache(int)): _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    property: _reduce_property,
    classmethod: _reduce_wrapped_method,
    staticmethod: _reduce_wrapped_method,
    np.ufunc: _reduce_ufunc,
    typing.NewType: _reduce_new_type,
    typing.TypeVar: _reduce_type_variable,
    typing.ParamSpec: _reduce_type_variable,
    typing.TypeVarTuple: _reduce_type_variable,
    type(dataclasses.MISSING): _reduce_sentinel,
    type(dataclasses.KW_ONLY): _reduce_sentinel,
    weakref.ref: _reduce_weak_reference,
    contextvars.ContextVar: _reduce_context_variable,
    logging.Logger: _reduce_logger,
    logging.RootLogger: _reduce_logger,
}

for _name in ("_HAS_DEFAULT_FACTORY", "_FIELD"):
    _REDUCERS[type(getattr(dataclasses, _name))] = _reduce_sentinel
if hasattr(typing, "TypeAliasType"):
    _REDUCERS[typing.TypeAliasType] = _reduce_type_alias

_WITH_SUBCLASSES: Final = frozenset(
    {property, classmethod, staticmethod, functools.cached_property}
)
"""Of which classes may be derived that pickle would rebuild without their function."""
