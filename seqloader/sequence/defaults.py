"""What a Sequence says about its enqueuer: the arguments of Keras' `PyDataset`.

    class Images(Sequence):
        def __init__(self, paths, **kwargs):
            super().__init__(**kwargs)  # workers=8, use_multiprocessing=True, max_queue_size=20

Rules
    What was given to the constructor of a `seqloader.Sequence` is the default of the enqueuer's
    argument of the same name, whatever it is.
    Of a `PyDataset`, which always carries all three, what differs from Keras' defaults is: its
    workers=1 and use_multiprocessing=False would else mean one thread, and nobody has asked for it.
    Nothing else is read: an attribute `workers` of the user's own is the user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UNSAID", "defaults_of", "filled", "keep", "split"]

NAMES: Final = ("workers", "use_multiprocessing", "max_queue_size")
KERAS_DEFAULTS: Final = {"workers": 1, "use_multiprocessing": False, "max_queue_size": 10}

_KEPT: Final = "_enqueuer_defaults"

Given = dict[str, Any]


class _Unsaid:
    """The default of `use_multiprocessing`: True, unless the Sequence says otherwise."""

    def __repr__(self) -> str:
        return "True"


UNSAID: Final[Any] = _Unsaid()


def filled(sequence: Any, asked: Given) -> tuple[Given, str]:
    """An enqueuer's arguments with what the Sequence says of them, where they say nothing.

    Args:
        asked: as they were given to the enqueuer, by name. Whoever names an executor there has
            said whether there are processes.

    Returns:
        All of them, and in words what was taken from the Sequence, for an error about it.
    """
    complete, taken = dict(asked), []
    for name, value in defaults_of(sequence).items():
        if name == "use_multiprocessing" and asked["executor"] is not None:
            continue
        if asked[name] is None or asked[name] is UNSAID:
            complete[name] = value
            taken.append(f"{name}={value!r}")
    if complete["use_multiprocessing"] is UNSAID:
        complete["use_multiprocessing"] = True
    return complete, ", ".join(taken)


def split(
    inherited: Callable[..., None], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Given, tuple[Any, ...], dict[str, Any]]:
    """What is ours of the arguments of a constructor, and what goes on to the next base class.

    Args:
        inherited: the next base class's `__init__`, bound.

    Raises:
        TypeError: there is no other base class, and an argument is none of ours.
    """
    if getattr(inherited, "__objclass__", None) is object:
        return _all_ours(arguments, keywords), (), {}
    code = getattr(inherited, "__code__", None)
    theirs = () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    ours: Given = {
        name: keywords[name] for name in NAMES if name in keywords and name not in theirs
    }
    return ours, arguments, {name: keywords[name] for name in keywords if name not in ours}


def _all_ours(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Given:
    given = dict(zip(NAMES, arguments, strict=False))
    wrong = [name for name in keywords if name not in NAMES or name in given]
    if len(arguments) > len(NAMES) or wrong:
        what = ", ".join(f"{name}=" for name in wrong) or f"{len(arguments)} arguments"
        raise TypeError(
            f"Sequence.__init__() was given {what}. It takes workers, use_multiprocessing and "
            "max_queue_size, each once, as Keras' PyDataset does; what is your own stays in the "
            "__init__ of your class"
        )
    return given | keywords


def keep(sequence: Any, given: Given) -> None:
    """Note what was given to the constructor."""
    if given:  # past a `__setattr__` of the user's, as of a frozen dataclass
        vars(sequence)[_KEPT] = given


def defaults_of(sequence: Any) -> Given:
    """What the Sequence says about the arguments of an enqueuer, by name."""
    fields = getattr(sequence, "__dict__", None)
    if not isinstance(fields, dict):
        return {}
    kept = fields.get(_KEPT)
    return dict(kept) if isinstance(kept, dict) else _of_pydataset(sequence, fields)


def _of_pydataset(sequence: Any, fields: dict[str, Any]) -> Given:
    kind = type(sequence)
    base = next((base for base in kind.__mro__ if _is_pydataset(base)), None)
    if base is None:
        return {}
    found = {}
    for name in NAMES:
        # Asked of its property only where the user has not put another in its place; and where the
        # user has not called `super().__init__()`, Keras would set the field and warn.
        definer = next((other for other in kind.__mro__ if name in vars(other)), None)
        if definer is base and f"_{name}" in fields:
            value = getattr(sequence, name)
            if value != KERAS_DEFAULTS[name]:
                found[name] = value
    return found


def _is_pydataset(kind: type) -> bool:
    return kind.__name__ == "PyDataset" and kind.__module__.partition(".")[0] == "keras"
