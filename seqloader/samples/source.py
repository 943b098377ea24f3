"""Where samples come from: what is accepted as a source, and how its samples are had."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.arrays import empty
from seqloader.errors import call_users
from seqloader.samples.rows import holds_rows, is_stored, read_rows, take_rows
from seqloader.sequence.interface import count_batches, offered, wrong_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from seqloader.samples.order import Indices

__all__ = [
    "Opener",
    "as_source",
    "call_error",
    "check_source",
    "count_items",
    "count_samples",
    "fetch",
    "gather",
    "opened",
]


class Opener:
    """A source that each process opens for itself, once, when it first needs it.

    Pickled, it is closed: for files and connections, which mean nothing in another process. A
    forked child opens its own; what its parent had open is kept, and not used.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._opened: dict[int, Any] = {}
        """By process id."""
        self._locks: dict[int, threading.Lock] = {}
        """The same: a child may be forked while another thread holds the parent's."""

    def source(self) -> Any:
        """The source, open in this process."""
        pid = os.getpid()
        if pid not in self._opened:
            with self._locks.setdefault(pid, threading.Lock()):
                if pid not in self._opened:
                    name = getattr(self._call, "__name__", type(self._call).__name__)
                    source = call_users(f"{name}()", self._call)
                    check_source(source, f"what {self._call!r} returned: ")
                    self._opened[pid] = source
        return self._opened[pid]

    def __reduce__(self) -> tuple[Any, ...]:
        return Opener, (self._call,)


def as_source(source: Any) -> Any:
    """Return the source itself, or an Opener where it is a callable that opens it.

    Raises:
        TypeError: it is neither.
    """
    if callable(source) and not hasattr(type(source), "__getitem__"):
        _check_opener(source)
        return Opener(source)
    check_source(source)
    return source


def opened(source: Any) -> Any:
    """The source itself, open in this process, of what `as_source` returned."""
    return source.source() if isinstance(source, Opener) else source


def call_error(call: Callable[..., Any], *arguments: str) -> TypeError | None:
    """Why `call` cannot be called with so many arguments; None: it can, or nobody knows."""
    from inspect import signature

    try:
        signature(call).bind(*arguments)
    except ValueError:  # written in C: it has no signature
        return None
    except TypeError as error:
        return error
    return None


def check_source(source: Any, where: str = "") -> None:
    """Raise TypeError unless `source` has samples that can be had by number.

    `where`: how the message begins.
    """
    reason = wrong_kind(source, "samples") or _missing(source)
    if reason is not None:
        raise TypeError(
            f"{where}{reason}. Needed is an object whose [index] is a sample and whose len() is "
            "the number of samples: a map-style dataset, a list, an array; or a function without "
            "arguments that opens one"
        )
    if isinstance(source, np.ma.MaskedArray):
        raise TypeError(f"{where}a masked array is two arrays: its .data and its .mask")
    if _is_tuple_of_columns(source):
        raise TypeError(
            f"{where}a tuple of {len(source)} arrays of one length is {len(source)} samples here. "
            "For rows of all of them, use ArraySequence; if each array is a sample, pass a list"
        )


def count_items(source: Any) -> int | None:
    """The number of samples or batches of a source now; None where it is endless."""
    # Arrays of zarr have no len().
    return int(source.shape[0]) if is_stored(source) else count_batches(source)


def count_samples(source: Any) -> int:
    """The number of samples there are now. TypeError where it is endless."""
    count = count_items(source)
    if count is None:
        raise TypeError(
            f"the source ({type(source).__qualname__}) is endless: its num_batches is None, and "
            "samples can be batched only where they can be counted"
        )
    return count


def gather(source: Any, indices: Indices, *, deliver: bool) -> NDArray[Any] | None:
    """Return samples of an array, stacked; None where the source is no array.

    Args:
        deliver: they are a batch as they are. Otherwise they are worked on, and lie in memory of
            numpy's own.
    """
    make: Any = empty if deliver else np.empty
    if holds_rows(source):
        return take_rows(source, indices, make)
    return read_rows(source, indices, make) if is_stored(source) else None


def fetch(source: Any, numbers: list[int]) -> list[Any]:
    """Return the samples with these numbers, one by one.

    A source with torch's `__getitems__(list of numbers)` is asked once for all.
    """
    # Of its class: an object that hands on what it does not know has its own `__getitem__`.
    at_once = getattr(type(source), "__getitems__", None)
    if at_once is not None:
        samples = list(at_once(source, numbers))
        if len(samples) != len(numbers):
            raise ValueError(
                f"{type(source).__qualname__}.__getitems__ returned {len(samples)} samples, and "
                f"was asked for {len(numbers)}: it must return a list with one for each number"
            )
        return samples
    samples = []
    try:
        for number in numbers:
            samples.append(source[number])
    except Exception as error:
        error.add_note(f"raised by the source for sample {numbers[len(samples)]}")
        raise
    return samples


def _check_opener(call: Callable[[], Any]) -> None:
    error = call_error(call)
    if error is not None:
        name = getattr(call, "__qualname__", repr(call))
        kind = "the class itself: pass an instance of it" if isinstance(call, type) else "callable"
        raise TypeError(
            f"source is {name}, {kind}. A callable is taken for a function that opens the source, "
            f"and is called without arguments; this one does not allow that ({error})"
        )


def _missing(source: Any) -> str | None:
    kind = type(source)
    if getattr(kind, "__getitem__", None) is None:
        if offered(source, "dataset") is not None and hasattr(kind, "__iter__"):
            return f"got {kind.__qualname__}, which makes batches itself: pass its .dataset"
        if hasattr(kind, "__iter__"):
            return (
                f"got {kind.__qualname__}: its samples come one after another, and cannot be "
                "asked for by number"
            )
        return f"{kind.__qualname__} does not define __getitem__(self, index)"
    if is_stored(source):
        return None
    if getattr(kind, "__len__", None) is None and not hasattr(kind, "num_batches"):
        return f"{kind.__qualname__} does not define __len__(self)"
    return None


def _is_tuple_of_columns(source: Any) -> bool:
    return (
        type(source) is tuple
        and len(source) > 1
        and all(isinstance(array, np.ndarray) and array.ndim for array in source)
        and len({len(array) for array in source}) == 1
    )
