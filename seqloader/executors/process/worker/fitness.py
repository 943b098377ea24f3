"""Whether a process may be forked into workers: what have its imports left behind that a fork would
share, and each worker must have for itself?

In doubt it is unfit: workers are fresh interpreters then, which only takes longer.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from seqloader.memory.kernel_files import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Fitness"]

_OWN_GENERATORS: Final = (
    ("random", "_inst"),  # seeds itself after a fork
    ("numpy.random.mtrand", "_rand"),  # seeded in each worker, as those of `random` and torch
    ("torch", "default_generator"),
    ("sympy.core.random", "rng"),  # torch imports it, for no batch
)
"""Generators that libraries make when they are imported, and that a worker may have by a fork."""


class Fitness:
    """What there was before imports, to be compared with what there is after them."""

    def __init__(self) -> None:
        self._threads = _threads()
        self._descriptors = _descriptors()
        self._mappings = _shared_mappings()

    def lacks(self) -> str:
        """What stands in the way of forks, in words; empty: nothing."""
        why = self._left_behind()
        if why:
            gc.collect()  # what is garbage stands in nobody's way
            why = self._left_behind()
        return why

    def _left_behind(self) -> str:
        if "tensorflow" in sys.modules:
            return "TensorFlow is imported, which does not work after a fork"
        if self._threads:
            return f"numpy alone starts {self._threads} more, for threads_per_worker"
        return (
            _new_threads()
            or self._new_descriptor()
            or self._new_mapping()
            or _child()
            or _timer()
            or _generator()
        )

    def _new_descriptor(self) -> str:
        for fd, file in _descriptors().items():
            if self._descriptors.get(fd) != file:
                return f"an import has opened {file}"
        return ""

    def _new_mapping(self) -> str:
        """Memory that all workers would write to together."""
        for mapping in _shared_mappings() - self._mappings:
            return f"an import has mapped shared memory, {mapping}"
        return ""


def _threads() -> int:
    return len(os.listdir("/proc/self/task")) - 1


def _new_threads() -> str:
    count = _threads()
    return f"an import has started {count} thread{'s' * (count > 1)}" if count else ""


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the list's own is closed already
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _shared_mappings() -> set[str]:
    found = set()
    for line in read("/proc/self/maps").split("\n"):
        addresses, _, rest = line.partition(" ")
        if rest[1:4:2] == "ws":  # written to, and shared
            found.add(f"{addresses} {rest.split(None, 4)[-1]}")
    return found


def _child() -> str:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return ""
    return "an import has started a process"


def _timer() -> str:
    timers = signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF
    return "an import has set a timer" if any(signal.getitimer(t)[0] for t in timers) else ""


def _generator() -> str:
    """A random generator that an import has made, and whose numbers every worker would repeat.

    One whose seed somebody has written down would be the same in fresh interpreters too; but that
    cannot be told from a seed that was made of the time.
    """
    import random

    kinds: tuple[type, ...] = (random.Random,)
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kinds += numpy_random.BitGenerator, numpy_random.RandomState
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        kinds += (torch.Generator,)
    known = {id(one) for one in _library_generators()}
    for one in _objects():
        # Its type, since objects may answer for their class, and load themselves for it.
        kind = type(one)
        if issubclass(kind, kinds) and id(one) not in known and kind is not random.SystemRandom:
            return f"an import has made a random generator, a {kind.__qualname__}"
    return ""


def _objects() -> Iterator[Any]:
    """Those that the garbage collector knows, and globals of modules: it knows none of torch's."""
    yield from gc.get_objects()
    if "torch" in sys.modules:
        for module in list(sys.modules.values()):
            with contextlib.suppress(AttributeError):  # something else that stands there
                yield from list(object.__getattribute__(module, "__dict__").values())


def _library_generators() -> Iterable[Any]:
    for module, name in _OWN_GENERATORS:
        found = getattr(sys.modules.get(module), name, None)
        yield found
        yield getattr(found, "_bit_generator", None)
    names = getattr(sys.modules.get("tempfile"), "_name_sequence", None)
    yield getattr(names, "_rng", None)  # made anew where the process is another
