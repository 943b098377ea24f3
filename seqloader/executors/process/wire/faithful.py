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

from seqloader.randomness.held_generators import reduce_own_generator

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["faithful_reducer"]


def faithful_reducer(kind: type) -> Callable[[Any], Any] | None:
    """What reduces objects of the type, if it is one of these. It answers NotImplemented where
    pickle's own way will do."""
    module, reducer = _BY_NAME.get(kind.__name__, _NONE)
    return reducer if module in (None, kind.__module__) else None


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


_NONE: Final = None, None
_BY_NAME: Final[dict[str, tuple[str | None, Callable[[Any], Any] | None]]] = {
    # Pickled, these have the address of a library in another process.
    "CDLL": ("ctypes", _refuse),
    "PyDLL": ("ctypes", _refuse),
    # A proxy answers pickle's questions as the object itself does, and would arrive as one.
    "CallableProxyType": ("weakref", _refuse),
    "ProxyType": ("weakref", _refuse),
    # cloudpickle sends a copy of the bytes.
    "memoryview": ("builtins", _refuse),
    "TextIOWrapper": ("_io", _reduce_text_file),
    "Generator": (None, reduce_own_generator),
    "Random": (None, reduce_own_generator),
    "RandomState": (None, reduce_own_generator),
    "WeakKeyDictionary": ("weakref", _reduce_weak_container),
    "WeakSet": (weakref.WeakSet.__module__, _reduce_weak_container),
    "WeakValueDictionary": ("weakref", _reduce_weak_container),
    "mappingproxy": ("builtins", _reduce_mappingproxy),
    **{
        f"{kind}dict_{view}": ("builtins", _reduce_dict_view)
        for kind in ("", "o")
        for view in ("items", "keys", "values")
    },
}
"""By the name of the type, since not all are imported; and its module, None: any."""
