"""The workers of a pool: launched into their slots, killed, awaited."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, NamedTuple

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.arena import ArenaView
from seqloader.executors.process.consumer.worker import WorkerProcess
from seqloader.executors.process.wire.blocks import make_sparse
from seqloader.executors.process.wire.table import ROWS
from seqloader.memory.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seqloader.executors.process.consumer.arena import Arenas
    from seqloader.executors.process.wire.settings import PoolSettings, WorkerSettings

__all__ = ["Crew", "PoolOptions"]


class PoolOptions(NamedTuple):
    """What does not change while a pool lives."""

    workers: int
    tickets_ahead: int
    """Batches that are computed or being computed ahead of the consumer, at most."""
    copy: bool
    timeout_s: float | None
    environment: Mapping[str, str]
    settings: PoolSettings
    """Of the workers, descriptors not yet filled in."""
    inherit: Callable[[PoolSettings, WorkerSettings], None] | None
    """Entry of a forked worker; None: fresh interpreters."""


class Crew:
    """Worker processes, by number; a number is never used again."""

    def __init__(self, options: PoolOptions, arenas: Arenas) -> None:
        self.workers: dict[int, WorkerProcess] = {}
        self._options = options
        self._arenas = arenas
        self._numbers = 0

    def launch(
        self, slot: int, settings: PoolSettings, settings_fd: int, state: tuple[int, int, int]
    ) -> WorkerProcess:
        """Start a worker, which loads `state` first (version, offset, gate)."""
        number = self._numbers = self._numbers + 1
        if number > ROWS:
            raise WorkerStartError(f"{ROWS} workers of one pool have died: something kills them")
        options, arenas = self._options, self._arenas
        inherit = options.inherit
        worker = self.workers[number] = WorkerProcess(number, slot)
        descriptors = Descriptors()
        try:
            arena_fd = descriptors.memory("seqloader-arena")
            arena_bytes = make_sparse(arena_fd, 2 * options.workers)
            arenas.add(ArenaView(number, arena_fd, arena_bytes, arenas.freed))
            worker.launch(
                pool=settings,
                settings=settings_fd,
                state=state,
                arena=(arena_fd, arena_bytes),
                stacks=options.timeout_s is not None,
                environment=options.environment,
                inherit=None if inherit is None else lambda own: inherit(settings, own),
            )
        finally:
            descriptors.close()
        return worker

    def kill(self) -> None:
        """SIGKILL for all. Any thread, any signal handler."""
        for worker in list(self.workers.values()):
            worker.kill()

    def await_end(self, deadline: float) -> None:
        """Reap what ends before the deadline."""
        while self.workers:
            poll = select.poll()
            for number, worker in list(self.workers.items()):
                if worker.watch < 0:  # its start was interrupted
                    if worker.pid > 0:
                        worker.reap()
                    worker.close()
                    del self.workers[number]
                else:
                    poll.register(worker.watch, select.POLLIN)
            if not self.workers:
                return
            left_s = deadline - time.monotonic()
            ended = {fd for fd, _ in poll.poll(max(0, int(left_s * 1000)))}
            for number, worker in list(self.workers.items()):
                if worker.watch in ended:
                    worker.reap()
                    worker.close()
                    del self.workers[number]
            if left_s <= 0:
                return

    def let_go(self) -> None:
        """In a worker that was forked: close the write ends of the life pipes."""
        for worker in self.workers.values():
            worker.let_go()

    def close(self) -> None:
        """Close all descriptors of all workers; those that live are reaped another time."""
        for worker in list(self.workers.values()):
            worker.forsake()
            worker.close()
        self.workers.clear()
