"""What pickle and cloudpickle would silently send as something else.

Each of these arrives as what it is, or is refused; on both ways.
"""

from __future__ import annotations

import collections
import gc
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any, Final

from seqloader.randomness.global_generators import reduce_global_generator

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAITHFUL_REDUCERS"]


def _refuse(obj: Any) -> Any:
    raise TypeError(f"cannot pickle {type(obj).__name__!r} object")


def _reduce_text_file(file: Any) -> Any:
    # cloudpickle sends the contents, in a StringIO: positions then count other things, and a large
    # file is in every worker's memory. The standard streams of a process are known by their names.
    return NotImplemented if file is sys.stdout or file is sys.stderr else _refuse(file)


def _reduce_dict_view(view: Any) -> Any:
    # cloudpickle sends a view of another dictionary, made of the elements.
    (mapping,) = gc.get_referents(view)
    return _view_of, (mapping, type(view).__name__)


def _view_of(mapping: Any, name: str) -> Any:
    odict, _, method = name.rpartition("dict_")
    return getattr(collections.OrderedDict if odict else dict, method)(mapping)


def _reduce_mappingproxy(proxy: Any) -> Any:
    # cloudpickle sends a proxy of a copy. `singledispatch` adds to the one that it shows.
    (mapping,) = gc.get_referents(proxy)
    return types.MappingProxyType, (mapping,)


def _reduce_weak_container(weak: Any) -> Any:
    # Filled again, it would be empty by the time that it arrives, if nothing else of what is sent
    # refers to the elements. Here something does: in the consumer it is what was not sent.
    elements = dict(weak.items()) if hasattr(weak, "items") else list(weak)
    return type(weak), (), elements, None, None, fill_weak_container


def fill_weak_container(weak: Any, elements: Any) -> None:
    """On arrival: its elements live as long as it does."""
    weak.update(elements)
    weak.held = elements


def _of(module: str, reducer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The reducer, for objects whose type is of that module: others may have its name."""

    def reduce(obj: Any) -> Any:
        return reducer(obj) if type(obj).__module__ == module else NotImplemented

    return reduce


FAITHFUL_REDUCERS: Final[dict[str, Callable[[Any], Any]]] = {
    # Pickled, these have the address of a library in another process.
    "CDLL": _of("ctypes", _refuse),
    "PyDLL": _of("ctypes", _refuse),
    # A proxy answers pickle's questions as the object itself does, and would arrive as one.
    "CallableProxyType": _of("weakref", _refuse),
    "ProxyType": _of("weakref", _refuse),
    # cloudpickle sends a copy of the bytes.
    "memoryview": _of("builtins", _refuse),
    "TextIOWrapper": _of("_io", _reduce_text_file),
    "Generator": reduce_global_generator,
    "Random": reduce_global_generator,
    "RandomState": reduce_global_generator,
    "WeakKeyDictionary": _of("weakref", _reduce_weak_container),
    "WeakSet": _of(weakref.WeakSet.__module__, _reduce_weak_container),
    "WeakValueDictionary": _of("weakref", _reduce_weak_container),
    "mappingproxy": _of("builtins", _reduce_mappingproxy),
    **{
        f"{kind}dict_{view}": _of("builtins", _reduce_dict_view)
        for kind in ("", "o")
        for view in ("items", "keys", "values")
    },
}
"""By the name of the type, since not all are imported."""
