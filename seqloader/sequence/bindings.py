"""The attributes of an object as they are bound now, for comparing two moments."""

from __future__ import annotations

import copyreg
from typing import Any, Final

from seqloader.sequence.interface import wrapped_below

__all__ = ["UNBOUND", "Bindings", "bindings", "rebind", "same_bindings"]

UNBOUND: Final = object()
"""In place of the value of an empty slot."""

Bindings = dict[str, Any]
"""The attributes of an object, by name."""


def bindings(sequence: Any) -> Bindings:
    """The attributes as they are bound now, those in `__slots__` included.

    Those of the objects that the Sequence wraps (`wrapped_below`) too: `dataset.set_epoch(3)` binds
    an attribute there.
    """
    found = _own_bindings(sequence)
    for path, part in wrapped_below(sequence):
        found[path] = part
        found |= {f"{path}.{name}": value for name, value in _own_bindings(part).items()}
    return found


def _own_bindings(obj: Any) -> Bindings:
    found: Bindings = {}
    for name in copyreg._slotnames(type(obj)):  # type: ignore[attr-defined]
        found[name] = _in_slot(obj, name)
    fields = getattr(obj, "__dict__", None)
    if isinstance(fields, dict):  # a stub answers to any name
        found.update(fields)
    return found


def _in_slot(obj: Any, name: str) -> Any:
    # Not getattr() on the object, which asks a `__getattr__` where the slot is empty.
    try:
        return getattr(type(obj), name).__get__(obj)
    except AttributeError:
        return UNBOUND


def same_bindings(before: Bindings, now: Bindings) -> bool:
    """Whether no attribute was bound anew, added or removed."""
    if before.keys() != now.keys():
        return False
    for name, value in now.items():  # noqa: SIM110 - all() would take twice as long
        if value is not before[name]:
            return False
    return True


def rebind(sequence: Any, before: Bindings) -> None:
    """Give the Sequence, and what it wrapped then, back the attributes that `bindings` found.

    Their classes have no say in it.
    """
    _rebind_one(sequence, before, "")
    for path, part in before.items():
        if path.startswith("."):
            _rebind_one(part, before, f"{path}.")


def _rebind_one(obj: Any, before: Bindings, prefix: str) -> None:
    found = {name.removeprefix(prefix): name for name in before if name.startswith(prefix)}
    bound = {name: before[path] for name, path in found.items() if name.isidentifier()}
    if not bound:  # no object that was looked into
        return
    slots = copyreg._slotnames(type(obj))  # type: ignore[attr-defined]
    own = getattr(obj, "__dict__", None)
    if isinstance(own, dict):
        for name in [name for name in own if name.isidentifier() and name not in bound]:
            del own[name]
        own.update((name, value) for name, value in bound.items() if name not in slots)
    for name in slots:
        if bound[name] is not UNBOUND:
            object.__setattr__(obj, name, bound[name])
        elif _in_slot(obj, name) is not UNBOUND:
            object.__delattr__(obj, name)
