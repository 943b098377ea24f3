"""What pickle and cloudpickle would silently send as something else.

Each of these arrives as what it is, or is refused; on both ways.
"""

from __future__ import annotations

import collections
import gc
import io
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any, Final

from seqloader.randomness.held_generators import reduce_own_generator

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAITHFUL_REDUCERS"]


def _reduce_text_file(file: Any) -> Any:
    # cloudpickle sends the contents, in a StringIO: positions then count other things, and a large
    # file is in every worker's memory. The standard streams of a process are known by their names.
    if type(file) is not io.TextIOWrapper or file is sys.stdout or file is sys.stderr:
        return NotImplemented
    raise TypeError(f"cannot pickle {type(file).__name__!r} object")


def _refuse_memoryview(view: Any) -> Any:
    # cloudpickle sends a copy of the bytes.
    if type(view) is memoryview:
        raise TypeError("cannot pickle 'memoryview' object")
    return NotImplemented


def _refuse_proxy(proxy: Any) -> Any:
    # A proxy answers pickle's questions as the object itself does, and would arrive as one.
    if type(proxy) in weakref.ProxyTypes:
        raise TypeError("cannot pickle 'weakproxy' object")
    return NotImplemented


def _refuse_library(library: Any) -> Any:
    # Pickled, it has the address of the library in another process.
    kind = type(library)
    if kind.__module__ == "ctypes":
        raise TypeError(f"cannot pickle {kind.__name__!r} object")
    return NotImplemented


def _reduce_dict_view(view: Any) -> Any:
    # cloudpickle sends a view of another dictionary, made of the elements.
    kind = type(view)
    if kind.__module__ != "builtins" and not kind.__name__.startswith("odict_"):
        return NotImplemented
    (mapping,) = gc.get_referents(view)
    return _view_of, (mapping, kind.__name__)


def _view_of(mapping: Any, name: str) -> Any:
    odict, _, method = name.rpartition("dict_")
    return getattr(collections.OrderedDict if odict else dict, method)(mapping)


def _reduce_mappingproxy(proxy: Any) -> Any:
    # cloudpickle sends a proxy of a copy. `singledispatch` adds to the one that it shows.
    if type(proxy) is not types.MappingProxyType:
        return NotImplemented
    (mapping,) = gc.get_referents(proxy)
    return types.MappingProxyType, (mapping,)


def _reduce_weak_container(weak: Any) -> Any:
    # Filled again, it would be empty by the time that it arrives, if nothing else of what is sent
    # refers to the elements. Here something does: in the consumer it is what was not sent.
    kind = type(weak)
    if kind is weakref.WeakSet:
        return kind, (), list(weak), None, None, fill_weak_container
    if kind is weakref.WeakKeyDictionary or kind is weakref.WeakValueDictionary:
        return kind, (), dict(weak.items()), None, None, fill_weak_container
    return NotImplemented


def fill_weak_container(weak: Any, elements: Any) -> None:
    """On arrival: its elements live as long as it does."""
    weak.update(elements)
    weak.held = elements


FAITHFUL_REDUCERS: Final[dict[str, Callable[[Any], Any]]] = {
    "CDLL": _refuse_library,
    "CallableProxyType": _refuse_proxy,
    "ProxyType": _refuse_proxy,
    "PyDLL": _refuse_library,
    "Generator": reduce_own_generator,
    "Random": reduce_own_generator,
    "RandomState": reduce_own_generator,
    "TextIOWrapper": _reduce_text_file,
    "WeakKeyDictionary": _reduce_weak_container,
    "WeakSet": _reduce_weak_container,
    "WeakValueDictionary": _reduce_weak_container,
    "dict_items": _reduce_dict_view,
    "dict_keys": _reduce_dict_view,
    "dict_values": _reduce_dict_view,
    "mappingproxy": _reduce_mappingproxy,
    "memoryview": _refuse_memoryview,
    "odict_items": _reduce_dict_view,
    "odict_keys": _reduce_dict_view,
    "odict_values": _reduce_dict_view,
}
"""By the name of the type."""
