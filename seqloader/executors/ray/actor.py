"""The actor: a process of Ray's that computes batches, somewhere.

Ray runs its calls one after the other, in one thread that is not the process's first. `throw_away`
runs beside them, in another.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.errors import as_raisable
from seqloader.executors.computing import Computing
from seqloader.executors.process.wire import failures, pickling
from seqloader.executors.process.wire.definitions import script
from seqloader.executors.process.worker import script as own_script
from seqloader.executors.process.worker.surroundings import keep_malloc_memory
from seqloader.executors.ray import sources
from seqloader.executors.ray.records import COMPUTED, FAILED, RAISED, READY, Reply
from seqloader.randomness.drawn_values import Watch
from seqloader.randomness.seeding import Seeding
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqloader.executors.ray.records import Manifest, Settings

__all__ = ["BatchActor"]

_KEPT: Final[list[Any]] = []
"""The module that Ray runs the process with: it lives on, under no name."""


class BatchActor:
    """Computes batches of one Sequence. Made by Ray, on a machine of its choice."""

    def __init__(self, slot: int, settings: Settings) -> None:
        _check_version(settings.version)
        keep_malloc_memory()
        sys.argv[:] = settings.argv
        sources.install(settings.sources, settings.path)
        _KEPT.append(sys.modules["__main__"])
        own_script.install(settings.script)
        if settings.names:
            own_script.offer(functools.partial(bytes, settings.names))
        self._slot = slot
        self._seeding = Seeding(settings.seed, settings.reseed_globals)
        self._init = settings.worker_init
        self._computing: Computing | None = None
        self._watch = Watch()
        self._version = 0
        self._told = 0
        self._state: list[Any] = []
        """The newest version that it was told of, and its reference."""
        self._pid = os.getpid()
        self._begun = 0
        """The number of the last call that was looked at. They come in order."""
        self._floor = 0
        self._void: set[int] = set()

    def ready(self, version: int, state: list[Any]) -> tuple[Any, ...]:
        """Load the Sequence, and call `worker_init`: (READY, ...) or (FAILED, ...)."""
        try:
            self._load(version, state)
            self._seeding.seed_process(self._slot)
            if self._init:
                own_script.loads(self._init)(self._slot)
        except BaseException as error:
            if _is_rays(error):
                raise
            return FAILED, failures.pack(as_raisable(error))
        return READY, self._pid, socket.gethostname()

    def compute(self, request: bytes, state: list[Any] | None) -> tuple[Any, ...] | None:
        """The reply to a call; (FAILED, packed) where the Sequence cannot be loaded."""
        number, tickets, version = pickle.loads(request)
        if state is not None:  # also of a call that is not computed
            self._told, self._state = version, state
        self._begun = number  # and only then it looks, as `throw_away` notes and then looks
        if number <= self._floor or number in self._void:
            self._void.discard(number)
            return None
        if version != self._version:
            if self._told != version:
                return None  # the call that brought the state was lost on its way
            try:
                self._load(version, self._state)
            except BaseException as error:
                if _is_rays(error):
                    raise
                return FAILED, failures.pack(as_raisable(error))
        answers = [self._answer(Ticket(*ticket)) for ticket in tickets]
        noticed = [tuple(one) for one in self._noticed()]
        return tuple(Reply(answers, noticed))

    def throw_away(self, up_to: int, numbers: list[int]) -> list[int]:
        """Compute no call up to that number, nor those. The one that runs goes on.

        Returns:
            Those of the numbers that it had not begun.
        """
        self._floor = max(self._floor, up_to)
        self._void.update(numbers)
        begun = self._begun
        return [number for number in numbers if number > begun]

    def _noticed(self) -> Iterator[Any]:
        while self._watch.noticed:
            yield self._watch.noticed.pop()

    def _answer(self, ticket: Ticket) -> tuple[Any, ...]:
        assert self._computing is not None, "nothing was loaded"
        begun = time.perf_counter()
        try:
            batch = self._computing.compute(ticket, self._watch)
            self._leave_if_forked()
            head, buffers = pickling.dumps(batch)
        except BaseException as error:
            self._leave_if_forked()
            own_script.explain(error)
            packed = failures.pack(as_raisable(error))
            return RAISED, time.perf_counter() - begun, packed
        nbytes = len(head) + sum(buffer.raw().nbytes for buffer in buffers)
        return COMPUTED, time.perf_counter() - begun, nbytes, head, buffers

    def _leave_if_forked(self) -> None:
        if os.getpid() != self._pid:
            os._exit(0)

    def _load(self, version: int, state: list[Any]) -> None:
        self._computing = None  # let go of the old state before there is a new one
        self._watch.forget()
        sequence = _load(state[0])
        self._computing = Computing(
            sequence,
            self._seeding,
            seeded=self._seeding.reseed_globals,
            worker=True,
            version=version,
        )
        self._version = version


def _check_version(version: str) -> None:
    import seqloader

    if seqloader.__version__ != version:
        raise RuntimeError(
            f"this machine ({socket.gethostname()}) has seqloader {seqloader.__version__}, and the "
            f"consumer has {version}: install the same on all"
        )


def _is_rays(error: BaseException) -> bool:
    """Whether Ray could not bring the state here: no fault of the Sequence."""
    import ray

    return isinstance(error, ray.exceptions.RayError)


def _load(reference: Any) -> Any:
    """The Sequence of a state: its own in this process, writable, but for shared arrays."""
    import ray

    manifest: Manifest = ray.get(reference)

    def had(parts: tuple[Any, ...]) -> list[Any]:
        references = [part for part in parts if isinstance(part, ray.ObjectRef)]
        fetched = iter(ray.get(references))
        return [next(fetched) if isinstance(part, ray.ObjectRef) else part for part in parts]

    # What Ray hands out is the store's own memory, read-only and seen by all: arrays are copied.
    buffers = [np.array(np.frombuffer(part, np.uint8)).data for part in had(manifest.buffers)]
    externals = [pickle.loads(part) for part in had(manifest.externals)]
    shared = [np.frombuffer(part, np.uint8) for part in had(manifest.shared)]
    (head,) = had((manifest.head,))
    unpickler = _Unpickler(head, buffers, externals, shared)
    with script.replacing():
        sequence = unpickler.load()
    own_script.bring_wanted()
    return sequence


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, head: Any, buffers: list[Any], externals: list[Any], shared: list[Any]
    ) -> None:
        super().__init__(io.BytesIO(head), buffers=buffers)
        self._externals = externals
        self._shared = shared

    def persistent_load(self, pid: int | tuple[int]) -> Any:
        return self._shared[pid[0]] if isinstance(pid, tuple) else self._externals[pid]
