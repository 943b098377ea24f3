"""What an object offers of a Sequence: the one place that asks it.

Anything with the methods of a Sequence is accepted in its place, by duck typing.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Iterator
from typing import Any, Final

from seqloader.errors import call_users, method_name
from seqloader.errors.integers import as_integer

__all__ = [
    "check_sequence",
    "count_batches",
    "declares_num_batches",
    "is_told_of_epochs",
    "length_of",
    "missing_getitem",
    "missing_length",
    "name_of",
    "offered",
    "overrides_hook",
    "run_hook",
    "unsaved_hooks",
    "wrapped_below",
    "wrapped_by",
    "wrong_kind",
]

_NOBODYS_NAME = "seqloader_asks_whether_you_answer_to_every_name"

_STUBS = {
    ("seqloader", "Sequence"),
    ("keras", "PyDataset"),
    ("keras", "Sequence"),
    ("tf_keras", "Sequence"),
    ("tensorflow", "Sequence"),
    ("torch", "Dataset"),
    ("torch", "IterableDataset"),
}
"""Base classes, as (top module, name), whose methods only say that they are missing."""

SHORT = 32
"""Elements that a container is looked through for what has `set_epoch`."""
WRAPPED_DEPTH: Final = 4
"""How deep objects may lie that are wrapped in others."""

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
"""Most attributes are of these, and need not be asked."""

_LABEL_INDEXED = {"pandas", "modin", "cudf", "dask"}
"""Packages whose frames and series take labels, not positions, in `[...]`."""


def check_sequence(obj: object) -> None:
    """Raise a TypeError that says what is missing, unless `obj` can be used as a Sequence.

    Accepted is whatever has `__getitem__` and `__len__` (or, on a Sequence, `num_batches`):
    Sequences of ours and of Keras, map-style torch datasets, lists, tuples, arrays. Nothing is
    called on it, so that a length that raises is reported where an epoch begins.
    """
    reason = wrong_kind(obj) or _missing(obj)
    if reason:
        raise TypeError(
            f"{reason}. Needed is an object whose [index] is a batch and whose len() is the number "
            f"of batches, such as a subclass of seqloader.Sequence"
        )


def count_batches(obj: Any) -> int | None:
    """The number of batches of `obj` now; None where it is endless.

    `num_batches` of a Sequence's class comes first, then `__len__`, then a `num_batches` that
    was only set on the instance: classic code uses that name for figures of its own. Whatever
    the object's own code raises is passed on, but for a NotImplementedError of `num_batches`,
    by which Keras means "see `__len__`".
    """
    if declares_num_batches(obj, on_instance=False):
        try:
            return _as_count(obj, "num_batches", _num_batches(obj))
        except NotImplementedError:
            pass
    if not _defines(obj, "__len__") and declares_num_batches(obj):
        return _as_count(obj, "num_batches", _num_batches(obj))
    return length_of(obj)


def overrides_hook(obj: object, name: str) -> bool:
    """Whether `run_hook(obj, name)` may do anything. True when in doubt.

    False only where there is no such hook, or where it is the empty one of our base class or
    of Keras's, or only calls those of parts that have none (`_hook_parts`, defined by the class
    that defines the hook): then an epoch's boundary cannot have changed the object.
    """
    if offered(obj, name) is None:
        return False
    if name in getattr(obj, "__dict__", ()):
        return True
    definer = _definer(type(obj), name)
    if (parts := _hook_parts(obj, definer)) is not None:
        return any(overrides_hook(part, name) for part in parts)
    return definer is None or not _is_stub(definer)


def unsaved_hooks(obj: object) -> tuple[str, list[str]] | None:
    """The name of a class, and its hooks, whose effects no `state_dict()` saves; None: all are.

    A class that adds a hook to one which has `state_dict()` must extend that, too.
    """
    kind, found = type(obj), []
    saver = _definer(kind, "state_dict") and _definer(kind, "load_state_dict")
    saved_from = kind.__mro__.index(saver) if saver is not None else len(kind.__mro__)
    for name in ("on_epoch_begin", "on_epoch_end"):
        definer = _definer(kind, name)
        if not overrides_hook(obj, name):
            continue
        if (parts := _hook_parts(obj, definer)) is not None:
            for part in parts:
                if unsaved := unsaved_hooks(part):
                    return unsaved
        elif definer is None or kind.__mro__.index(definer) < saved_from:
            found.append(name)
    return (kind.__qualname__, found) if found else None


def _hook_parts(obj: Any, definer: type | None) -> Any:
    """What the hook that a class defines hands on to, if it does nothing else; None: it does."""
    by_class = () if definer is None else definer.__dict__
    return obj._hook_parts() if "_hook_parts" in by_class else None


def wrapped_by(obj: object) -> list[tuple[str, Any]]:
    """The objects whose attributes are looked at as those of `obj` are, by name: what is bound anew
    in them is noticed.

    The parts of a Sequence that is made of others (`_seqloader_parts`, of its class); and whatever
    has a method `set_epoch`, by which torch's users tell a dataset or a sampler the number of the
    epoch, in an attribute or in a short list, tuple or dict of them. Asked at every epoch: it is
    the classes that are asked, and no code of the user's runs.
    """
    parts: Any = getattr(type(obj), "_seqloader_parts", None)
    found: list[tuple[str, Any]] = [] if parts is None else parts(obj)
    fields = getattr(obj, "__dict__", None)
    for name, value in fields.items() if isinstance(fields, dict) else ():
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is not list and kind is not tuple and kind is not dict:
            if hasattr(kind, "set_epoch"):
                found.append((name, value))
        elif len(value) <= SHORT:
            items = value.items() if kind is dict else enumerate(value)
            for key, item in items:
                if type(item) not in _PLAIN and hasattr(type(item), "set_epoch"):
                    found.append((f"{name}[{key!r}]", item))
    return found


def wrapped_below(obj: object) -> Iterator[tuple[str, Any]]:
    """What `wrapped_by` finds in it, and in that in turn, by path. A circle is gone round once."""
    seen = {id(obj)}
    level = [(f".{name}", part) for name, part in wrapped_by(obj) if part is not obj]
    for _ in range(WRAPPED_DEPTH):
        if not level:  # nearly always
            return
        for path, part in level:
            seen.add(id(part))
            yield path, part
        level = [
            (f"{path}.{name}", inner)
            for path, part in level
            for name, inner in wrapped_by(part)
            if id(inner) not in seen
        ]


def is_told_of_epochs(obj: object) -> bool:
    """Whether it, or something in it, has a method `set_epoch`, which may change it without binding
    an attribute anew."""
    return hasattr(type(obj), "set_epoch") or any(
        hasattr(type(part), "set_epoch") for _, part in wrapped_below(obj)
    )


def run_hook(obj: object, name: str) -> None:
    """Call the hook `name` ("on_epoch_begin", "on_epoch_end") of `obj`, if it has one."""
    hook = offered(obj, name)
    if hook is not None:
        call_users(method_name(obj, name), hook)


def offered(obj: object, name: str) -> Any:
    """What a user's object offers under `name`, None where it offers nothing.

    Its class is asked, and what it holds itself. A `__getattr__` is asked too, since wrappers hand
    on what they wrap; but not one that has an answer to every name (a proxy for remote calls, a
    stub, a mock), or raises something other than AttributeError.
    """
    kind = type(obj)
    if hasattr(kind, name) or name in getattr(obj, "__dict__", ()):
        return getattr(obj, name, None)
    if not hasattr(kind, "__getattr__"):
        return None
    try:
        getattr(obj, _NOBODYS_NAME)
    except AttributeError:
        return getattr(obj, name, None)
    except Exception:
        pass
    return None


def wrong_kind(obj: object, items: str = "batches") -> str | None:
    """Why `obj` is no Sequence although it may have the methods of one.

    `items`: what was to be had from it by number.
    """
    kind = type(obj)
    if isinstance(obj, type):
        return f"got the class {name_of(obj)} itself: pass an instance of it"
    if isinstance(obj, (str, bytes, bytearray)):
        return f"got {name_of(kind)}: its items are characters or bytes, not {items}"
    if isinstance(obj, abc.Mapping):
        return (
            f"got a mapping ({name_of(kind)}): its items are found by key, not by number. "
            f"list(mapping.values()) has an order"
        )
    if any(_top_module(base) in _LABEL_INDEXED for base in kind.__mro__) and hasattr(kind, "iloc"):
        return (
            f"got {name_of(kind)}: its [index] looks for a label, not for a position. Pass "
            f"frame.to_numpy(), or a Sequence whose __getitem__ uses frame.iloc"
        )
    if any(_top_module(base) == "pyarrow" for base in kind.__mro__) and hasattr(kind, "columns"):
        return (
            f"got {name_of(kind)}: its [index] is a column, and its len() counts rows. Pass "
            f"table.to_pylist(), or a Sequence whose __getitem__ uses "
            f"table.slice(start, count).to_pydict() or .to_pandas()"
        )
    is_array = hasattr(kind, "ndim") and hasattr(kind, "shape")
    if is_array and type(ndim := getattr(obj, "ndim", None)) is int and ndim == 0:
        return f"got an array without dimensions ({name_of(kind)}): it holds no {items} to number"
    if any(base.__name__ == "IterableDataset" for base in kind.__mro__ if _is_stub(base)):
        return (
            f"got {name_of(kind)}, an iterable-style torch dataset: its samples come one after "
            f"another and cannot be asked for by number"
        )
    return None


def _missing(obj: object) -> str | None:
    """Which of the methods `obj` lacks."""
    kind = type(obj)
    if not _defines(obj, "__getitem__"):
        if hasattr(kind, "__next__"):
            return (
                f"got an iterator ({name_of(kind)}): it can only be asked for its next item, and "
                f"workers ask for batches by number"
            )
        return missing_getitem(kind)
    if not (_defines(obj, "__len__") or declares_num_batches(obj)):
        return missing_length(kind)
    return None


def missing_getitem(kind: type) -> str:
    """What to say of a class without `__getitem__`."""
    return f"{name_of(kind)} does not define __getitem__(self, index), which returns one batch"


def missing_length(kind: type) -> str:
    """What to say of a class without `__len__`."""
    text = f"{name_of(kind)} does not define __len__(self), which returns the number of batches"
    if hasattr(kind, "num_batches") and not hasattr(kind, "on_epoch_end"):
        return f"{text} (num_batches counts only on subclasses of Sequence or PyDataset)"
    return f"{text} (a Sequence without an end defines num_batches = None instead)"


def _defines(obj: object, name: str) -> bool:
    """Whether the class of `obj` has a method `name` that is more than a stub."""
    definer = _definer(type(obj), name)
    return definer is not None and definer.__dict__[name] is not None and not _is_stub(definer)


def declares_num_batches(obj: object, *, on_instance: bool = True) -> bool:
    """Whether `obj` says its own `num_batches`, and is of a kind where that name has our meaning.

    A torch dataset may happen to have an attribute of this name; it says nothing there.
    """
    definer = _definer(type(obj), "num_batches")
    declared = definer is not None and not _is_stub(definer)
    if not declared and not (on_instance and "num_batches" in getattr(obj, "__dict__", ())):
        return False  # asked first: most say nothing
    return _is_sequence_like(obj)


def _is_sequence_like(obj: object) -> bool:
    return bool(offered(obj, "use_sequence_api")) or callable(offered(obj, "on_epoch_end"))


def _definer(kind: type, name: str) -> type | None:
    """The class that gives `kind` its attribute `name`."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base
    return None


def _is_stub(kind: type) -> bool:
    return (_top_module(kind), kind.__name__) in _STUBS


def _top_module(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def name_of(kind: type) -> str:
    """The class as a message names it."""
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return module + kind.__qualname__


def length_of(obj: Any) -> int | None:
    """What `__len__` says."""
    if not _defines(obj, "__len__"):
        raise NotImplementedError(missing_length(type(obj)))
    # Not len(): its errors do not say whose length it was, nor what it was.
    length = call_users(method_name(obj, "__len__"), type(obj).__len__, obj)
    return _as_count(obj, "__len__()", length)


def _num_batches(obj: Any) -> Any:
    return call_users(method_name(obj, "num_batches"), getattr, obj, "num_batches")


def _as_count(obj: object, source: str, value: Any) -> int | None:
    """`value` as a number of batches, or an error that says which rule it breaks."""
    said = f"{source} of {name_of(type(obj))} is {value!r}"
    if value is None and source == "num_batches":
        return None
    count = as_integer(value)
    if count is None:
        hint = ": use int() or math.ceil()" if hasattr(value, "__float__") else ""
        raise TypeError(f"{said} ({name_of(type(value))}), not a whole number of batches{hint}")
    if count < 0:
        raise ValueError(f"{said}: a number of batches cannot be negative")
    return count
