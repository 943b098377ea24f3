"""The user's own objects of multiprocessing, on their way to a worker as to a child of it.

multiprocessing lets its locks, queues, pipes and shared values be pickled only while it starts a
child: it asks who is being started, and gives the descriptors to that. So there is one who answers
while a Sequence is pickled. (The other way that it has, for a child that runs already, starts a
thread in this process.)

Rules
    R1  A descriptor has one number in all states, that of a duplicate of ours: a state in which
        nothing changed is the same bytes; and a worker that is started later inherits it still,
        also when the user has closed the original.
    R2  Workers inherit descriptors when they start, and at no other time. A state with a new one
        needs new workers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import sys
from multiprocessing import context, get_start_method, process, reduction
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.wire.passed import PassedDescriptor, rebuild_arena
from seqloader.executors.process.wire.settings import Parent
from seqloader.memory.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PassedDescriptors", "as_parent", "reduce_shared", "tracker_fd"]

_SYNCHRONIZE: Final = "multiprocessing.synchronize"
_REDUCERS: Final = frozenset({"multiprocessing.connection", "multiprocessing.sharedctypes"})
"""Whose ways to pickle are taken over."""
_STORAGE_REDUCERS: Final = frozenset({"reduce_storage", "reduce_typed_storage"})
"""Those of torch, for the memory under a tensor: where it is shared. They would share all other."""


class PassedDescriptors:
    """The user's descriptors that workers inherit, with the Sequence that refers to them."""

    DupFd = PassedDescriptor
    """For multiprocessing, which takes this object for the `Popen` of a child."""

    def __init__(self) -> None:
        self._descriptors = Descriptors()
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._met: set[int] = set()

    @property
    def numbers(self) -> frozenset[int]:
        """Of all that are kept."""
        return frozenset(self._numbers.values())

    @contextlib.contextmanager
    def pickling(self) -> Iterator[None]:
        """Be the child that is being started, for what this thread pickles."""
        before = context.get_spawning_popen()
        if isinstance(before, PassedDescriptors):  # left by an interrupt
            before = None
        self._met = set()
        try:
            context.set_spawning_popen(self)  # type: ignore[arg-type]
            yield
        finally:
            context.set_spawning_popen(before)

    def duplicate_for_child(self, fd: int) -> int:
        """The number that a worker has `fd` as; called by multiprocessing."""
        facts = os.fstat(fd)
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE  # the ends of a pipe differ in this
        identity = facts.st_dev, facts.st_ino, mode
        if identity not in self._numbers:
            number = self._descriptors.duplicate(fd)
            self._numbers[identity] = number
        self._met.add(self._numbers[identity])
        return self._numbers[identity]

    def forget_others(self) -> None:
        """Close what the last pickle does not refer to."""
        for identity, number in list(self._numbers.items()):
            if number not in self._met:
                del self._numbers[identity]
                self._descriptors.close_one(number)

    def close(self) -> None:
        """Close all. Idempotent."""
        self._numbers = {}
        self._descriptors.close()


def reduce_shared(obj: Any) -> Any:
    """How a worker gets `obj`, if it is multiprocessing's and pickle's own way will not do, or a
    tensor in shared memory; else NotImplemented. Inside `pickling`.

    Raises:
        PicklingError: it was made for forked children only.
    """
    kind = type(obj)
    semaphore = getattr(obj, "_semlock", None) if kind.__module__ == _SYNCHRONIZE else None
    # Early releases of Python 3.11 let these go, and who uses one that has no name crashes.
    if semaphore is not None and semaphore.name is None:
        raise pickle.PicklingError(
            f"a {kind.__name__} of the context that it was made by is for forked children only"
        )
    reducer = reduction.ForkingPickler._extra_reducers.get(kind)  # type: ignore[attr-defined]
    if reducer is None:
        return _reduce_shared_tensor(obj)
    if reducer.__module__ == "multiprocessing.heap":
        passed: Any = context.get_spawning_popen()
        return rebuild_arena, (kind, obj.size, passed.duplicate_for_child(obj.fd))
    if reducer.__name__ in _STORAGE_REDUCERS:
        memory = getattr(obj, "_untyped_storage", obj)
        return reducer(obj) if memory.is_shared() else NotImplemented
    shared = hasattr(obj, "_wrapper") or reducer.__module__ == "multiprocessing.connection"
    if shared and reducer.__module__ in _REDUCERS:
        return reducer(obj)
    return _reduce_shared_tensor(obj)


def _reduce_shared_tensor(tensor: Any) -> Any:
    """Reduce a tensor that the user has put into shared memory, by `share_memory_()`, to that."""
    torch: Any = sys.modules.get("torch")
    if torch is None or type(tensor) is not torch.Tensor or tensor.device.type != "cpu":
        return NotImplemented
    plain = tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_conj()
    if not plain or tensor.is_neg() or not tensor.is_shared():
        return NotImplemented
    return torch.multiprocessing.reductions.reduce_tensor(tensor)


def as_parent() -> Parent:
    """This process, as multiprocessing tells its children of it."""
    this = process.current_process()
    method = get_start_method(allow_none=True)
    directory: str | None = process.ORIGINAL_DIR  # type: ignore[attr-defined]
    return Parent(this.name, os.getpid(), bytes(this.authkey), method, directory)


def tracker_fd() -> int:
    """Where this process's resource tracker listens; -1: it has none. None is started for workers:
    it is a process, and who does not share memory by name has no use for it."""
    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    fd: int | None = None if module is None else module._resource_tracker._fd
    return -1 if fd is None else fd
