"""The module that is run: the user's `__main__`, in the consumer and in the worker.

In a process that `multiprocessing` has spawned, the script is run as `__mp_main__`, and
`sys.modules` has it under both names; its functions' globals are a dict of `runpy`'s, beside the
module's own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

__all__ = [
    "NAMES",
    "bind",
    "bring_along",
    "find",
    "is_of_script",
    "is_script_namespace",
    "look_up",
    "name_in_script",
    "namespace",
    "plain_attribute",
    "replaces",
    "replacing",
    "set_globals",
    "wanted",
]

NAMES: Final = frozenset({"__main__", "__mp_main__"})


def namespace() -> dict[str, Any]:
    """The global variables of this process's `__main__`."""
    return vars(sys.modules["__main__"])


def is_script_namespace(names: dict[str, Any]) -> bool:
    """Whether a function with these globals is one of the script."""
    main = sys.modules.get("__main__")
    own = getattr(main, "__dict__", None)
    if own is names:
        return True
    # Only there do the script's functions have other globals than the module: see above.
    return (
        own is not None
        and own.get("__name__") == names.get("__name__") == "__mp_main__"
        and own.get("__file__") == names.get("__file__")
    )


def is_of_script(module: object) -> bool:
    """Whether it is the name of the script, which a worker cannot import."""
    return isinstance(module, str) and module in NAMES


def look_up(module: object, qualname: object) -> Any:
    """What has the name in a module that is imported; None: nothing has."""
    found: Any = sys.modules.get(module) if isinstance(module, str) else None
    if found is None or not isinstance(qualname, str):
        return None
    first, *rest = qualname.split(".")
    # Of the script only what is there: it may bring more along when it is asked.
    found = vars(found).get(first) if is_of_script(module) else getattr(found, first, None)
    for name in rest:
        found = getattr(found, name, None)
    return found


def plain_attribute(obj: object, name: str) -> Any:
    """What a definition has as its `__module__`, `__name__` or `__qualname__`; None: nothing.

    Objects that are merely there are asked as well. So no `__getattr__` and `__getattribute__` of
    theirs is called: it may raise anything, or load a module that is loaded when it is used.
    """
    try:
        return object.__getattribute__(obj, name)
    except Exception:  # an attribute of theirs may be a property
        return None


def name_in_script(obj: Any) -> str:
    """The name under which the script has the object at its top level; empty: it has not."""
    for name in (plain_attribute(obj, "__qualname__"), plain_attribute(obj, "__name__")):
        if isinstance(name, str) and namespace().get(name) is obj:
            return name
    return ""


# In the worker, while something is rebuilt.

wanted: dict[str, None] = {}
"""Names that rebuilt code uses and that are still to be brought into the script's namespace."""

_replacing = False
_sent: dict[str, Any] = {}
"""What the last state brought for each global: any other value was bound here."""

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes})


@contextlib.contextmanager
def replacing() -> Iterator[None]:
    """What is rebuilt meanwhile is a new state, and replaces what is there; else, it adds to it."""
    global _replacing
    _replacing = True
    try:
        yield
    finally:
        _replacing = False


def replaces() -> bool:
    """Whether what is rebuilt now replaces what is there."""
    return _replacing


def bind(name: str, obj: object) -> None:
    """Have the script's namespace know a rebuilt object by its name."""
    if name:
        namespace()[name] = obj


def bring_along(names: dict[str, Any], used: tuple[dict[str, Any], list[str]]) -> None:
    """In the worker: global variables that code uses, and names of those to be found later."""
    values, later = used
    set_globals(names, values)
    wanted.update(dict.fromkeys(later))


def set_globals(names: dict[str, Any], values: dict[str, Any]) -> None:
    """Bring global variables along, into the namespace of a function or class."""
    if names is not namespace():
        names.update(values)
        return
    for name, value in values.items():
        if name in names and (not _replacing or _was_bound_here(names[name], name, value)):
            continue
        names[name] = value
        _sent[name] = value


def _was_bound_here(now: object, name: str, value: object) -> bool:
    # A connection, say, that `worker_init` made for a global that is None in the consumer: the
    # consumer's None is no news. For what can be changed inside, it cannot be told.
    if name not in _sent or now is _sent[name]:
        return False
    before = _sent[name]
    return type(value) is type(before) and type(value) in _PLAIN and value == before


def find(name: str) -> Any:
    """What the worker's script has under the name; it may be brought along only now."""
    return getattr(sys.modules["__main__"], name)
