"""The process executor's shell: the published state of the Sequence, and a pool of workers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.birth import (
    Birth,
    can_bear,
    check_startable,
    forked_entry,
)
from seqloader.executors.process.consumer.imported import (
    Sources,
    imported_files,
    imports,
)
from seqloader.executors.process.consumer.inherited import InheritedState
from seqloader.executors.process.consumer.mp_objects import (
    PassedDescriptors,
    as_parent,
)
from seqloader.executors.process.consumer.pool import Pool
from seqloader.executors.process.consumer.script import script_facts
from seqloader.executors.process.consumer.state import StateFile
from seqloader.executors.process.wire.procfd import are_open_to_children
from seqloader.executors.process.wire.settings import PoolSettings, WorkerSettings
from seqloader.memory.shared_arrays import live_memories
from seqloader.memory.usage import usage_of
from seqloader.randomness.seeds import hash_seed
from seqloader.tickets import Worked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seqloader.executors.process.consumer.zygote import Zygote
    from seqloader.memory.usage import Usage
    from seqloader.randomness.drawn_values import Noticed
    from seqloader.randomness.seeding import Seeding
    from seqloader.tickets import Death, Outcome, Shortage, Ticket

__all__ = ["ProcessExecutor"]

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_KEPT_APART: Final[set[tuple[frozenset[str], frozenset[tuple[str, str]]]]] = set()
"""What was found to leave behind what workers cannot share: modules, under an environment."""


class ProcessExecutor:
    """Computes tickets in worker processes; see the package for its protocol.

    Args:
        workers: how many worker processes.
        tickets_ahead: how many tickets the caller has in flight or uncollected, at most.
        start_method: "spawn" (a fresh interpreter), "zygote" (forks of one that has imported what
            the Sequence needs), or "fork" (of this process; state is inherited).
        timeout_s: seconds one ticket may take before its worker is killed; None: no limit.
        worker_init: called as `worker_init(slot)` in each worker, after the Sequence was loaded.
        worker_env: environment variables of the workers, over all others.
        threads_per_worker: for BLAS and OpenMP; None: 1 unless the user has set the variable.
        copy: batches with private arrays instead of views.
    """

    def __init__(
        self,
        workers: int,
        *,
        tickets_ahead: int,
        start_method: str = "spawn",
        timeout_s: float | None = None,
        worker_init: Callable[[int], object] | None = None,
        worker_env: Mapping[str, str] | None = None,
        threads_per_worker: int | None = None,
        copy: bool = False,
    ) -> None:
        self.workers = workers
        self._tickets_ahead = tickets_ahead
        self._forks = start_method == "fork"
        self._zygotes = start_method == "zygote"
        """Whether workers are borne by one, as far as is known."""
        self._timeout_s = timeout_s
        self._worker_init = worker_init
        self._worker_env = dict(worker_env or {})
        self._threads = threads_per_worker
        self._copy = copy
        self._pool: Pool | None = None
        self._state: StateFile | InheritedState | None = None
        self._birth: Birth | None = None
        self._passed = PassedDescriptors()
        """Of what `worker_init` refers to."""
        self._init_is_private = True
        """Whether that is nothing that this process may change."""
        self._sources: Sources | None = None
        self._worked = Worked()
        """By the workers of pools before this one, since the last start."""

    # --- protocol -------------------------------------------------------------------------

    def start(self, sequence: Any, seeding: Seeding) -> None:
        """Publish the Sequence and launch the workers; they become ready in their own time."""
        check_startable()
        self._worked = Worked()
        imported = imported_files()
        self._birth = self._make_birth(seeding, imported)
        if self._forks:
            state = self._state = InheritedState()
            state.publish(sequence, in_place=True)
            self._open(first=True)
        else:
            self._start_fresh(sequence)
            self._sources = Sources(imported)

    def _start_fresh(self, sequence: Any) -> None:
        """Publish while the workers' interpreters start: writing a large Sequence takes as long."""
        state = self._state = StateFile()
        inherited = set(live_memories())
        self._open(first=True)
        pool = self._running()
        try:
            # Imported only now, like all that pickles: the interpreters are starting meanwhile.
            from seqloader.executors.process.consumer.names import pickle_names

            state.keep_names(pickle_names())
            state.publish(sequence, in_place=True)
        except BaseException:
            pool.close()  # at once: they have nothing to finish
            raise
        if state.passed:
            pool.close()  # they have not inherited them, and have done nothing yet
            self._open(first=True)
        elif state.shared <= inherited or are_open_to_children():
            if self._imported() in _KEPT_APART:
                pool.crew.do_without_zygote()
            pool.publish((state.version, state.offset), state.modules)
        else:
            self._replace_workers()

    def _open(self, *, first: bool = False) -> None:
        assert self._birth is not None and self._state is not None
        state = self._state
        if self._pool is not None:
            self._worked = self.worked()
        # Assigned before it is opened: whatever interrupts the start, `reset` and `stop` find it.
        pool = self._pool = Pool(
            self.workers,
            self._tickets_ahead,
            timeout_s=self._timeout_s,
            copy=self._copy,
            birth=self._birth,
            zygote=self._make_zygote(),
        )
        pool.traffic.owner = id(self)
        passed = state.passed | self._passed.numbers
        place = state.version, state.offset
        pool.open(place, state.fd, passed, state.modules, whole=first)

    def _make_zygote(self) -> Zygote | None:
        if not (self._zygotes and can_bear()) or self._imported() in _KEPT_APART:
            return None
        # Not above: who does not use one need not wait for it.
        from seqloader.executors.process.consumer.zygote import Zygote

        return Zygote()

    def _running(self) -> Pool:
        assert self._pool is not None, "the executor is not started"
        return self._pool

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket. Never blocks."""
        pool = self._pool  # not `_running()`: a call for every batch
        assert pool is not None
        pool.traffic.submit(ticket)

    def wait(self, timeout_s: float | None) -> None:
        """Block until there may be something to collect."""
        self._running().wait(timeout_s)

    def collect(self) -> list[Outcome | Death | Shortage | Noticed]:
        """Outcomes and deaths since the last call."""
        pool = self._running()
        told = pool.collect()
        zygote = pool.crew.zygote
        if self._zygotes and zygote is not None and zygote.is_gone:
            self._do_without(zygote)
        return told

    def _imported(self) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
        """What a zygote imports, and what it finds then."""
        assert self._state is not None and self._birth is not None
        threads = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
        return self._state.modules, frozenset({**threads, **self._birth.environment}.items())

    def _do_without(self, zygote: Zygote) -> None:
        """Fresh interpreters from now on; said once."""
        import logging

        self._zygotes = False  # first, whatever a handler does
        if self._imported() in _KEPT_APART:
            return
        if zygote.is_unfit:
            _KEPT_APART.add(self._imported())
        text = "workers are fresh interpreters, and not forks of a zygote: %s"
        logging.getLogger("seqloader").info(text, zygote.why_not)

    def alarmed(self) -> bool:
        """Whether a worker has ended, or may be past its time."""
        pool = self._pool  # not `_running()`: a call for every batch
        assert pool is not None
        return pool.alarmed()

    def load(self, sequence: Any, *, in_place: bool) -> None:
        """Publish the state of `sequence` if it has changed."""
        self._reclaim()  # so that there are two at most, not three
        state, pool = self._state, self._running()
        assert state is not None
        known, passed = state.shared, state.passed
        if not state.publish(sequence, in_place=in_place):
            return
        reached = state.shared <= known or self._can_be_opened()
        if reached and state.passed <= passed and not self._forks:
            pool.traffic.follow((state.version, state.offset))
        else:
            self._replace_workers()

    def runs_ahead(self) -> bool:
        """Whether the state is the workers' own, so that a coming epoch may be computed with it."""
        state, pool = self._state, self._running()
        # What `load` and `discard` do at each turn else: neither is called while it runs ahead.
        self._reclaim()
        pool.crew.schedule.watch_memory()
        return state is not None and state.is_private and self._init_is_private

    def resize(self, workers: int, tickets_ahead: int) -> None:
        """Start others beside those at work, or let those too many leave after their batch."""
        self.workers, self._tickets_ahead = workers, tickets_ahead
        if self._pool is not None:
            self._pool.resize(workers, tickets_ahead)

    def _can_be_opened(self) -> bool:
        """Whether workers that run can open shared arrays made since. Who drops privileges in
        `worker_init` cannot, and a worker that fails ends the run: others inherit them instead."""
        return self._worker_init is None and are_open_to_children()

    def _replace_workers(self) -> None:
        self._running().stop(1.0)
        self._open()

    def _reclaim(self) -> None:
        if self._state is not None and self._state.keeps_older:
            self._state.reclaim(self._running().traffic.occupations.acknowledged())

    def discard(self, timeout_s: float | None = None) -> bool:
        """Throw away what is in flight, and wait until nothing is being computed.

        False: time was up first.
        """
        in_time = self._running().discard(timeout_s)
        self._reclaim()  # a hook may want memory that is held for no other reason
        return in_time

    def reset(self) -> None:
        """Kill the workers and start others. From any state."""
        if self._pool is not None:
            self._pool.close()
        if self._state is None or not self._state.version:
            raise WorkerStartError("start() was interrupted: there is no Sequence to work on")
        self._open()

    def wake(self) -> None:
        """Make a wait return."""
        if self._pool is not None:
            self._pool.wake()

    def kill(self) -> None:
        """SIGKILL for all workers; only `stop` may follow."""
        if self._pool is not None:
            self._pool.kill()

    def stop(self, timeout_s: float) -> None:
        """End the workers and give everything back. Idempotent."""
        if self._pool is not None:
            self._pool.stop(timeout_s)
        self.abandon()

    def abandon(self) -> None:
        """As `stop`, without waiting: for finalizers and forked children."""
        if self._pool is not None:
            self._pool.close()
        if self._state is not None:
            self._state.close()
        self._state = None
        self._passed.close()
        self._sources = None
        self._worked = self.worked()
        self._pool = None

    def usage(self) -> dict[int, Usage | None]:
        """What each worker uses, by its number. What a fork has inherited is not its own."""
        if self._pool is None:
            return {}
        crew = self._pool.crew
        found = {
            number: usage_of(f"/proc/{worker.pid}")
            for number, worker in crew.workers.items()
            if worker.ready and not worker.leaving
        }
        parent = os.getpid() if self._forks else (crew.zygote.pid if crew.zygote else 0)
        inherited = usage_of(f"/proc/{parent}") if parent else None
        return {number: usage and usage.beyond(inherited) for number, usage in found.items()}

    # --- diagnostics ----------------------------------------------------------------------

    def holder(self, ticket: Ticket) -> tuple[int, int] | None:
        """(slot, process id) of the worker that computes `ticket` now."""
        return None if self._pool is None else self._pool.traffic.occupations.holder(ticket)

    def edited(self) -> list[tuple[str, str]]:
        """Modules and files of the user's that were edited since the first workers imported them:
        later workers have other code. Each is told once. (What a zygote has imported, the workers
        that it bears later have as it was.)"""
        zygote = None if self._pool is None else self._pool.crew.zygote
        if self._sources is None or (zygote is not None and not zygote.is_gone):
            return []
        return self._sources.edited()

    def busy(self) -> list[str]:
        """Which workers compute something or are not ready yet, in words."""
        return [] if self._pool is None else self._pool.traffic.occupations.busy()

    def held_batches(self) -> int:
        """Batches that the consumer still refers to."""
        return 0 if self._pool is None else self._pool.arenas.held_batches

    def worked(self) -> Worked:
        """What computing has taken the workers since the last start."""
        pool, before = self._pool, self._worked
        return before if pool is None else before.beside(pool.traffic.worked())

    def held_bytes(self) -> int:
        """Bytes of the batches that the consumer still refers to."""
        return 0 if self._pool is None else self._pool.arenas.held_bytes

    # --- options --------------------------------------------------------------------------

    def _make_birth(self, seeding: Seeding, imported: list[tuple[str, str]]) -> Birth:
        settings = PoolSettings(
            imports=imports(imported),
            argv=[argument for argument in sys.argv if isinstance(argument, str)],
            tickets=-1,
            reports=-1,
            table=-1,
            state=-1,
            seed=seeding.seed,
            reseed_globals=seeding.reseed_globals,
            parent=as_parent(),
            passed=[],
            worker_init=b"" if self._forks else self._pickled_init(),
            script=script_facts(),
        )
        inherit = self._enter_forked if self._forks else None
        return Birth(settings, -1, self._environment(seeding), inherit)

    def _pickled_init(self) -> bytes:
        if self._worker_init is None:
            return b""
        from seqloader.executors.process.consumer.sending import (
            pickle_function,
        )  # hardly any run needs it

        with self._passed.pickling():
            pickled, self._init_is_private = pickle_function(self._worker_init, "worker_init")
        return pickled

    def _enter_forked(self, pool: PoolSettings, own: WorkerSettings) -> None:
        assert isinstance(self._state, InheritedState)
        forked_entry()(pool, own, self._state.sequence(), self._worker_init)

    def _environment(self, seeding: Seeding) -> dict[str, str]:
        environment = {}
        for name in THREAD_VARIABLES:
            if self._threads is not None:
                environment[name] = str(self._threads)
            elif name not in os.environ:
                environment[name] = "1"
        if seeding.reseed_globals and "PYTHONHASHSEED" not in os.environ:
            environment["PYTHONHASHSEED"] = str(hash_seed(seeding.seed))
        environment.update(self._worker_env)
        return environment
