"""Classes by value, from their own `__dict__`.

Note [Nothing runs again]
    `type.__new__` is called with the metaclass, not the metaclass itself: its `__new__` and
    `__init__` have done their work, and it is in the class's `__dict__`. The attributes are set
    afterwards, so that `__set_name__` is not called. `type.__new__` calls the `__init_subclass__`
    that the class inherits; for that moment, and for this thread, it does nothing.
    A metaclass made in C has a `__new__` of its own that must run; those of `ctypes` also an
    `__init__`, which lays their types out from Python 3.13 on, and want some attributes at once.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import abc
import contextlib
import enum
import operator
import pickle
import sys
import threading
from collections.abc import Iterator, Set
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.wire.definitions import numbers, script
from seqloader.executors.process.wire.definitions.builtin import builtin_method, is_made_in_c
from seqloader.executors.process.wire.definitions.functions import annotations_of
from seqloader.executors.process.wire.definitions.members import keep_unnamed, named_only
from seqloader.executors.process.wire.definitions.registrations import (
    register_with,
    registered,
    registered_with,
)

if TYPE_CHECKING:
    from seqloader.executors.process.wire.definitions.scope import Scope

__all__ = ["reduce_class"]

_NEVER_SENT: Final = frozenset(
    {"_abc_impl", "__slotnames__", "__annotate_func__", "__annotations_cache__"}
)
"""Made anew where they are needed; or the compiler's functions, whose result is sent instead."""

_SETTABLE: Final = frozenset(
    {"__abstractmethods__", "__annotations__", "__doc__", "__type_params__", "__annotate__"}
)
"""Descriptors of `type` that put what is set into the class's dict."""

_CTYPES_FIRST: Final = ("_pack_", "_align_", "_layout_", "_anonymous_", "_swappedbytes_")
"""What `ctypes` looks at when it gets `_fields_`."""
_BYTE_ORDERS: Final = ("__ctype_be__", "__ctype_le__")
"""The same type with its bytes in that order."""


def reduce_class(scope: Scope, cls: type) -> Any:
    """A class that its module does not have under its name, or that of a script."""
    if is_made_in_c(cls):
        raise pickle.PicklingError(
            f"the type {cls.__module__}.{cls.__qualname__} is made in C, and its module does not "
            "have it under its name"
        )
    is_of_ctypes = _is_ctypes(type(cls))
    if is_of_ctypes:
        derived = _reduce_derived_type(cls)
        if derived is not None:
            return derived
    elif builtin_method(type(cls), "__new__") is not type.__new__:
        raise pickle.PicklingError(
            f"the class {cls.__module__}.{cls.__qualname__} is of the metaclass "
            f"{type(cls).__module__}.{type(cls).__qualname__}, which is made in C and can make it "
            "from its source only: move the class into a module that can be imported"
        )
    own = dict(cls.__dict__)
    name = script.name_in_script(cls) if script.is_of_script(own.get("__module__")) else ""
    slots = _take_slots(cls, own)
    first = {key: own.pop(key) for key in _set_by_others(type(cls)) & own.keys()}
    first["__qualname__"] = cls.__qualname__
    if slots is not None:
        first["__slots__"] = slots
    annotations = own.get("__annotations__")
    if "__annotate_func__" in own and annotations is None:  # Python 3.14
        annotations = own["__annotations__"] = annotations_of(cls)
    for key in _NEVER_SENT:
        own.pop(key, None)
    if is_of_ctypes:
        first.update({key: own[key] for key in _CTYPES_FIRST if key in own})
        own = _without_fields(own)
    if isinstance(cls, enum.EnumMeta):
        own = named_only(cls, own)
    subclasses = registered(cls) if isinstance(cls, abc.ABCMeta) else []
    abstract = registered_with(cls)
    used = scope.globals_used(_namespace_of(cls), (), annotations)
    made = (numbers.take_number(cls), name, _meta_of(cls), cls.__name__, cls.__bases__, first)
    return make_class, made, (own, subclasses, abstract, used), None, None, fill_class


def _namespace_of(cls: type) -> dict[str, Any]:
    module = cls.__dict__.get("__module__")
    found = sys.modules.get(module) if isinstance(module, str) else None
    return getattr(found, "__dict__", {})


def _take_slots(cls: type, own: dict[str, Any]) -> list[str] | None:
    """Take the descriptors that `type.__new__` makes out of `own`; the slots they belong to."""
    kinds = MemberDescriptorType, GetSetDescriptorType
    slots = [
        key
        for key, value in own.items()
        if type(value) in kinds and value.__objclass__ is cls and value.__name__ == key
    ]
    for key in slots:
        del own[key]
    return slots if "__slots__" in own else None


def _set_by_others(meta: type) -> Set[str]:
    """Names of which `type.__setattr__` would set something else than an entry of the class's
    dict: descriptors of the metaclass. They are given to `type.__new__` instead."""
    return _OF_TYPE if meta is type else _data_descriptors(meta)


def _data_descriptors(meta: type) -> set[str]:
    return {
        key
        for base in meta.__mro__
        for key, value in base.__dict__.items()
        if hasattr(type(value), "__set__") and key not in _SETTABLE
    }


_OF_TYPE: Final = frozenset(_data_descriptors(type))
"""Which cannot be changed."""


def _meta_of(cls: type) -> type:
    """The metaclass; or, where it is made in C and has no name of its own, a base that has it."""
    meta = type(cls)
    if is_made_in_c(meta) and script.look_up(meta.__module__, meta.__qualname__) is not meta:
        return next(base for base in reversed(cls.__mro__) if type(base) is meta)
    return meta


def _is_ctypes(meta: type) -> bool:
    return any(base.__module__ == "_ctypes" for base in meta.__mro__)


def _reduce_derived_type(cls: Any) -> Any:
    """How a type that `ctypes` makes of another comes about: it has no source. None: it has."""
    base = cls.__bases__[0].__name__
    if base == "Array":
        return operator.mul, (cls._type_, cls._length_)
    if base == "_Pointer":
        return make_pointer_type, (cls._type_,)
    plain = script.look_up(cls.__module__, cls.__qualname__)
    for order in _BYTE_ORDERS:
        if plain is not cls and getattr(plain, order, None) is cls:
            return getattr, (plain, order)
    return None


def make_pointer_type(kind: Any) -> Any:
    """In the worker."""
    import ctypes

    return ctypes.POINTER(kind)


def _without_fields(own: dict[str, Any]) -> dict[str, Any]:
    """Without the descriptors that setting `_fields_` makes; `_fields_` before the rest."""
    rest = {key: value for key, value in own.items() if type(value).__name__ != "CField"}
    for order in _BYTE_ORDERS:
        rest.pop(order, None)
    fields = {"_fields_": rest.pop("_fields_")} if "_fields_" in rest else {}
    return {**fields, **rest}


# In the worker.


def make_class(
    number: str,
    name: str,
    meta: type[type],
    own_name: str,
    bases: tuple[type, ...],
    first: dict[str, Any],
) -> type:
    """A class without its attributes, so that they can refer to it."""
    made: type | None = numbers.known(number)
    if made is None:
        made = _create(meta, own_name, bases, dict(first))
        numbers.enter(number, name, made, empty=True)
    elif script.replaces() and numbers.came_here(made) and made.__bases__ != bases:
        builtin_method(type(made), "__setattr__")(made, "__bases__", bases)
    return made


_filled: dict[str, frozenset[str]] = {}
"""By a class's number: the attributes that the last state gave it."""


def _create(meta: type[type], name: str, bases: tuple[type, ...], first: dict[str, Any]) -> type:
    # See Note [Nothing runs again].
    if not issubclass(meta, type):
        meta = type(meta)
    new = builtin_method(meta, "__new__")
    with _kept_still(bases):
        made: type = new(meta, name, bases, first)
    if _is_ctypes(meta):
        builtin_method(meta, "__init__")(made, name, bases, first)
    if issubclass(meta, abc.ABCMeta):
        _abc._abc_init(made)
    return made


@contextlib.contextmanager
def _kept_still(bases: tuple[type, ...]) -> Iterator[None]:
    """Meanwhile, the `__init_subclass__` that a class of these bases inherits does nothing, in
    this thread."""
    owners = (one for base in bases for one in base.__mro__ if one is not object)
    owner = next((one for one in owners if "__init_subclass__" in one.__dict__), object)
    if is_made_in_c(owner):  # object's, for one, does nothing
        yield
        return
    original = owner.__dict__["__init_subclass__"]
    here = threading.get_ident()

    def init_subclass(cls: type, /, **keywords: object) -> None:
        if threading.get_ident() != here:
            original.__get__(None, cls)(**keywords)

    type.__setattr__(owner, "__init_subclass__", classmethod(init_subclass))
    try:
        yield
    finally:
        type.__setattr__(owner, "__init_subclass__", original)


def fill_class(cls: type, state: tuple[dict[str, Any], list[type], list[abc.ABCMeta], Any]) -> None:
    """Give a class its attributes, and the script's namespace what it names."""
    if not numbers.is_to_be_filled(cls):
        return
    number = numbers.number_of(cls)
    own, subclasses, abstract, used = state
    set_attribute = builtin_method(type(cls), "__setattr__")
    for name in _filled.get(number, frozenset()) - own.keys():
        if name in cls.__dict__:
            builtin_method(type(cls), "__delattr__")(cls, name)
    for name, value in own.items():
        set_attribute(cls, name, value)
    if "__firstlineno__" in own:  # setting others removes it (Python 3.13)
        set_attribute(cls, "__firstlineno__", own["__firstlineno__"])
    _filled[number] = frozenset(own)
    if isinstance(cls, enum.EnumMeta):
        keep_unnamed(cls)
    for subclass in subclasses:
        register_with(subclass, [cls])  # type: ignore[list-item]
    register_with(cls, abstract)
    script.bring_along(_namespace_of(cls), used)
