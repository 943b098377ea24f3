"""Where a worker process begins: settings, surroundings, the Sequence, `worker_init`, the loop."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from seqloader import arrays
from seqloader.executors.process.wire.records import READY
from seqloader.executors.process.wire.settings import (
    MARK,
    PoolSettings,
    WorkerSettings,
)
from seqloader.executors.process.wire.table import Table
from seqloader.executors.process.wire.tunables import remove_tunables
from seqloader.executors.process.worker import mp_child, script
from seqloader.executors.process.worker.life import guard_life
from seqloader.executors.process.worker.loop import Loop
from seqloader.executors.process.worker.state import await_state
from seqloader.executors.process.worker.surroundings import (
    be_killed_first,
    keep_malloc_memory,
    offer_stacks,
    prepare_signals,
    release_stderr,
)
from seqloader.randomness.seeding import Seeding

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["enter", "run"]


def enter(settings: list[Any], arguments: list[str]) -> None:
    """Entry of a fresh interpreter; the bootstrap has seen to what it imports."""
    gc.freeze()  # numpy and what is ours, and nothing of the user's yet: it stays
    os.environ.pop(MARK, None)
    remove_tunables(os.environ)
    pool = PoolSettings.of(settings)
    own = WorkerSettings.parse(arguments[1:])
    os.close(int(arguments[0]))
    shared = (pool.tickets, pool.reports, pool.table, pool.state, *pool.passed)
    for fd in (*own.descriptors(), *shared):
        if fd >= 0:
            os.set_inheritable(fd, False)  # they are not for the user's own children
    for fd in own.strangers:
        with contextlib.suppress(OSError):
            os.close(fd)
    sys.argv[:] = pool.argv
    script.install(pool.script)
    if own.control >= 0:
        from seqloader.executors.process.worker.zygote import become_worker

        own = become_worker(pool, own)
    else:
        prepare_signals()
    gc.enable()
    run(pool, own, None, None)


def run(
    pool: PoolSettings,
    own: WorkerSettings,
    sequence: Any,
    worker_init: Callable[[int], object] | None,
) -> None:
    """Work until the ticket pipe ends. By fork, `sequence` and `worker_init` are inherited."""
    guard_life(own.life)
    if pool.state < 0:
        mp_child.be_forked_child()
        prepare_signals()
    mp_child.be_child(pool.parent, own.slot, own.life, own.tracker)
    offer_stacks(own.stack)
    keep_malloc_memory()
    be_killed_first()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            # A killed worker loses what it has not written yet; and lines of several workers stay
            # whole, also where Python is told not to buffer, and would write each word by itself.
            stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    table = Table(pool.table)
    seeding = Seeding(pool.seed, pool.reseed_globals)
    loop = Loop(pool, own, table.words, seeding)
    arrays.install(loop.arena)
    try:
        loop.reserve_spare()
        if pool.state >= 0:
            state = own.version, own.offset
            if own.gate >= 0:
                state = await_state(own.gate, table.words)
            if not state[0]:
                return
            loop.load(*state)
        else:
            loop.adopt(sequence, own.version)
        seeding.seed_process(own.slot)
        if pool.worker_init:
            worker_init = script.loads(pool.worker_init)
        if worker_init is not None:
            worker_init(own.slot)
    except BaseException as error:
        loop.report_failure(0, error)
        return
    release_stderr(own.errors, own.capture)
    loop.report(0, READY)
    loop.serve()
    if pool.state < 0:
        mp_child.leave()
