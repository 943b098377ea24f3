"""What a worker is told when it starts: facts of the pool, and facts of its own."""

from __future__ import annotations

import marshal
import signal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.executors.process.wire.imports import Imports, begin

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ENTRY",
    "LEAVE_SIGNAL",
    "MARK",
    "STACK_SIGNAL",
    "Parent",
    "PoolSettings",
    "ScriptFacts",
    "WorkerSettings",
]

ENTRY: Final = "seqloader.executors.process.worker.main"
"""The worker's side is named, never imported, by the consumer's."""

MARK: Final = "SEQLOADER_WORKER"
"""Set in a worker's environment until our entry removes it: see [no endless start]."""

STACK_SIGNAL: Final = int(
    signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGUSR2", 0)
)
"""Asks a worker that is past its time for its stack. A real-time signal, because user code and
libraries have their own uses for the two user signals."""

LEAVE_SIGNAL: Final = int(
    signal.SIGRTMIN + 5 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGUSR1", 0)
)
"""Wakes a worker that waits for a ticket and is to leave."""


class ScriptFacts(NamedTuple):
    """The consumer's `__main__`, as its worker's says it is."""

    name: str = "__main__"
    """`__mp_main__` where the consumer is itself a child of multiprocessing."""
    file: str | None = None
    package: str | None = None
    spec: str = ""
    """Of the module that `python -m` runs."""


class Parent(NamedTuple):
    """The consumer, as multiprocessing tells its children of it."""

    name: str
    pid: int
    authkey: bytes
    start_method: str | None
    """None: not chosen yet."""
    directory: str | None
    """In which it was when it imported multiprocessing."""


class PoolSettings(NamedTuple):
    """The same for all workers of a pool. Plain values only: it travels by `marshal`."""

    imports: Imports
    """First: the bootstrap needs it before it can import anything."""
    argv: list[str]
    """The consumer's `sys.argv`."""
    tickets: int
    """Read end of the ticket pipe."""
    reports: int
    """Write end of the report pipe."""
    table: int
    state: int
    """Descriptor of the state file; -1 where the Sequence is inherited by fork."""
    seed: int
    reseed_globals: bool
    parent: Parent
    passed: list[int]
    """Descriptors of the user's own that the Sequence refers to."""
    worker_init: bytes
    """Pickle of the callable; empty: none."""
    script: ScriptFacts = ScriptFacts()

    def dumps(self) -> bytes:
        """For the bootstrap: what it runs first, and these fields, for `of`."""
        plain = [tuple(field) if isinstance(field, tuple) else field for field in self]
        return marshal.dumps((begin.__code__, plain))

    @classmethod
    def of(cls, fields: list[Any]) -> PoolSettings:
        """From the fields that the bootstrap has read."""
        settings = cls._make(fields)
        return settings._replace(
            imports=Imports(*settings.imports),
            parent=Parent(*settings.parent),
            script=ScriptFacts(*settings.script),
        )


class WorkerSettings(NamedTuple):
    """Of one worker. All are integers: they travel as command-line arguments."""

    number: int
    """Its row in the table."""
    slot: int
    version: int
    """Of the state to load before anything else."""
    offset: int
    """Where that state's manifest lies in the state file."""
    gate: int
    """Readable when the table says which state that is; -1: the two fields before say it."""
    arena: int
    arena_bytes: int
    life: int
    """Read end of the life pipe."""
    death: int
    """Write end of the death pipe, -1 where the consumer has a pidfd."""
    errors: int
    """The consumer's standard error; -1: closed there."""
    capture: int
    """Holds standard error until the worker is ready; -1: not captured."""
    stack: int
    """Where the stack of a worker past its time is written; -1: no time limit."""
    tracker: int
    """Of multiprocessing's resource tracker; -1: the consumer has none, or it is there by fork."""
    control: int
    """Where a zygote is told whom to bear; -1: this is a worker."""
    shared: tuple[int, ...] = ()
    """The memory of all shared arrays that the consumer has; by fork, they are just there."""
    strangers: tuple[int, ...] = ()
    """To be closed: nobody's, and out of reach of the call that starts a worker."""

    def descriptors(self) -> tuple[int, ...]:
        """Those of the fields that are descriptors; -1 where there is none."""
        ends = self.gate, self.arena, self.life, self.death, self.errors, self.capture, self.stack
        return *ends, self.tracker, self.control, *self.shared

    def taking(self, descriptors: Iterable[int]) -> WorkerSettings:
        """The same with other numbers, for those of its descriptors that it has, in order."""
        numbers = iter(descriptors)
        names = "gate", "arena", "life", "death", "errors", "capture", "stack", "tracker"
        taken: dict[str, Any] = {name: next(numbers) for name in names if getattr(self, name) >= 0}
        return self._replace(**taken, shared=tuple(next(numbers) for _ in self.shared))

    def pack(self) -> bytes:
        """For `unpack`."""
        return marshal.dumps([*self[:-2], tuple(self.shared), tuple(self.strangers)])

    @classmethod
    def unpack(cls, data: bytes) -> WorkerSettings:
        """From what `pack` made."""
        return cls._make(marshal.loads(data))

    def arguments(self) -> list[str]:
        """As command-line arguments for `parse`."""
        *fixed, shared, strangers = self
        return list(map(str, [*fixed, len(shared), *shared, *strangers]))

    @classmethod
    def parse(cls, arguments: list[str]) -> WorkerSettings:
        """From what `arguments` made."""
        numbers = list(map(int, arguments))
        fixed = len(cls._fields) - 2
        rest = fixed + 1 + numbers[fixed]
        shared, strangers = tuple(numbers[fixed + 1 : rest]), tuple(numbers[rest:])
        return cls._make([*numbers[:fixed], shared, strangers])
