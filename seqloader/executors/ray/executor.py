"""The consumer's side of the Ray executor: it publishes the Sequence, posts and collects."""

from __future__ import annotations

import atexit
import math
import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.errors import WorkerStartError
from seqloader.executors.diagnostics import Diagnostics
from seqloader.executors.ray.actors import Factory, Wanted
from seqloader.executors.ray.cluster import Connection, import_ray
from seqloader.executors.ray.copies import Copies
from seqloader.executors.ray.dispatcher import Dispatcher
from seqloader.executors.ray.exchange import Event, Exchange
from seqloader.executors.ray.records import Settings
from seqloader.executors.ray.troupe import Troupe
from seqloader.tickets import Death, Shortage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from seqloader.executors.ray.state import State
    from seqloader.randomness.drawn_values import Noticed
    from seqloader.randomness.seeding import Seeding
    from seqloader.tickets import Outcome, Ticket

__all__ = ["RayExecutor"]


class _Running(NamedTuple):
    """What one `start` has, once it is complete."""

    connection: Connection
    exchange: Exchange
    dispatcher: Dispatcher
    thread: threading.Thread


class RayExecutor(Diagnostics):
    """Computes tickets in actors of Ray, on this machine or on others; see the package.

    Args:
        workers: How many actors.
        num_cpus: CPUs that Ray keeps free for each. None: 1; 0 on a Ray that is started here, whose
            CPUs are this process's as well.
        memory: Bytes that Ray keeps free for each.
        resources: Other resources of Ray's that each takes, by name.
        address: Of the cluster; "auto": one that runs on this machine; "local": one is started
            here. None: the one that is initialised, else that of the environment's `RAY_ADDRESS`,
            else "local".
        scheduling: "SPREAD" over the machines, "DEFAULT" (as few as will do), or a strategy of
            Ray's.
        object_store_memory: Bytes of the object store of a Ray that is started here: twice what the
            window holds is best. None: 2 GiB, as far as there is room.
        start_timeout_s: Seconds to wait for the first actor.
        timeout_s: Seconds one ticket may take before its actor is killed; None: no limit.
        worker_init: Called as `worker_init(slot)` in each actor, after the Sequence was loaded.
        worker_env: Environment variables of the actors. With them, an actor's start takes seconds.
        copy: Batches with private, writable arrays instead of read-only views of the store.
    """

    def __init__(
        self,
        workers: int,
        *,
        num_cpus: float | None = None,
        memory: int | None = None,
        resources: Mapping[str, float] | None = None,
        address: str | None = None,
        scheduling: Any = "SPREAD",
        object_store_memory: int | None = None,
        start_timeout_s: float = 60.0,
        timeout_s: float | None = None,
        worker_init: Callable[[int], object] | None = None,
        worker_env: Mapping[str, str] | None = None,
        copy: bool = False,
    ) -> None:
        if workers < 1:
            raise ValueError(f"a Ray executor needs at least one worker, not {workers}")
        self.workers = workers
        self._num_cpus = num_cpus
        self._memory = memory
        self._resources = dict(resources or {})
        self._address = address
        self._scheduling = scheduling
        self._store_bytes = object_store_memory
        self._start_timeout_s = start_timeout_s
        self._timeout_s = timeout_s
        self._worker_init = worker_init
        self._worker_env = dict(worker_env or {})
        self._copies = Copies() if copy else None
        self._window = 0
        self._pid = os.getpid()
        self._connection: Connection | None = None
        self._state: State | None = None
        self._running: _Running | None = None
        self._settling = 0
        """The number of the last `discard` or `reset`."""

    # --- protocol -------------------------------------------------------------------------

    def start(self, sequence: Any, seeding: Seeding) -> None:
        """Connect to Ray, publish the Sequence, and ask for actors; they become ready in time."""
        assert self._connection is None, "started twice"
        self._pid = os.getpid()
        ray = import_ray()
        # Imported only now, like all that pickles.
        from seqloader.executors.ray.state import State

        # Each is assigned at once: whatever interrupts the start, `stop` finds it.
        connection = self._connection = Connection(self._address, self._store_bytes)
        state = self._state = State()
        state.publish(sequence, in_place=True)
        factory = Factory(self._wanted(connection), ray.put(self._settings(seeding)))
        exchange = Exchange()
        dispatcher = Dispatcher(
            exchange,
            factory,
            Troupe(self.workers, self._start_timeout_s, time.monotonic()),
            (state.version, state.reference),
            timeout_s=self._timeout_s,
            copies=self._copies,
            window=self._window,
        )
        self._settling = 0
        self._running = _Running(connection, exchange, dispatcher, dispatcher.begin())
        # Before Ray's own: a death at the very end must not be answered with a new actor.
        atexit.register(exchange.end)

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket. Never blocks."""
        self._exchange().post(Event.SUBMIT, ticket)

    def wait(self, timeout_s: float | None) -> None:
        """Block until there may be something to collect."""
        exchange = self._exchange()
        deadline = _deadline(timeout_s)
        while not (exchange.box or exchange.woken or exchange.failure or exchange.ending):
            if not exchange.listen(deadline):
                return
        exchange.woken = False
        self._raise_failure(exchange)

    def collect(self) -> list[Outcome | Death | Shortage | Noticed]:
        """Outcomes and deaths since the last call."""
        exchange = self._exchange()
        self._raise_failure(exchange)
        exchange.alarm = False
        box = exchange.box
        return [box.popleft() for _ in range(len(box))]

    def alarmed(self) -> bool:
        """Whether an actor has ended, or nothing can go on."""
        exchange = self._exchange()
        return exchange.alarm or exchange.failure is not None

    def load(self, sequence: Any, *, in_place: bool) -> None:
        """Publish the state of `sequence` if it has changed."""
        exchange, state = self._exchange(), self._state
        assert state is not None
        if state.publish(sequence, in_place=in_place):
            exchange.post(Event.LOAD, state.version, state.reference)

    def resize(self, workers: int, tickets_ahead: int) -> None:
        """Ask for others beside those at work, or let those too many leave after their call."""
        self.workers, self._window = workers, tickets_ahead
        if self._running is not None:
            self._running.exchange.post(Event.RESIZE, workers, tickets_ahead)

    def discard(self, timeout_s: float | None = None) -> bool:
        """Throw away what is in flight, and wait until nothing is being computed.

        False: time was up first.
        """
        exchange = self._exchange()
        deadline = _deadline(timeout_s)
        before = exchange.box
        self._settle(exchange, Event.DISCARD)
        while exchange.settled < self._settling:
            if exchange.ending or exchange.woken or exchange.failure:
                break
            if not exchange.listen(deadline):
                return False
        told = [one for one in before if isinstance(one, Death | Shortage)]
        exchange.box.extend(told)
        return True

    def reset(self) -> None:
        """Forget all tickets, kill the actors that compute one, and ask for others."""
        if self._running is None:
            raise WorkerStartError("start() was interrupted: there is no Sequence to work on")
        self._settle(self._running.exchange, Event.RESET)

    def _settle(self, exchange: Exchange, event: Event) -> None:
        self._settling += 1
        exchange.box = deque()
        exchange.post(event, self._settling, exchange.box)

    def wake(self) -> None:
        """Make a wait return."""
        if self._running is not None:
            self._running.exchange.woken = True
            self._running.exchange.ring()

    def kill(self) -> None:
        """End all actors at once; only `stop` may follow."""
        if self._running is not None:
            self._running.exchange.end()

    def stop(self, timeout_s: float) -> None:
        """End the actors and give everything back. Idempotent."""
        running = self._running
        if running is not None and os.getpid() == self._pid:
            deadline = time.monotonic() + timeout_s
            running.exchange.end(timeout_s)
            while not running.exchange.left and running.exchange.listen(deadline):
                pass
            running.thread.join(max(0.0, deadline - time.monotonic()))
        self._close(end=True)

    def abandon(self) -> None:
        """As `stop`, without waiting: for finalizers and forked children."""
        if self._running is not None:
            self._running.exchange.end()
        self._close(end=False)

    def _close(self, *, end: bool) -> None:
        running, self._running = self._running, None
        if running is not None:
            atexit.unregister(running.exchange.end)
        if self._state is not None:
            self._state.close()
        self._state = None
        if self._copies is not None:
            self._copies.close()
            self._copies = Copies()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(end=end)

    def __del__(self) -> None:
        if self.__dict__.get("_connection") is not None:
            self.abandon()

    def _exchange(self) -> Exchange:
        if self._running is None:
            raise RuntimeError("the Ray executor is not running: call start() first")
        return self._running.exchange

    @staticmethod
    def _raise_failure(exchange: Exchange) -> None:
        if exchange.failure is not None:
            raise exchange.failure

    # --- diagnostics ----------------------------------------------------------------------

    def holder(self, ticket: Ticket) -> tuple[int, int] | None:
        """(slot, process id on its machine) of the actor that computes it, if that is known."""
        if self._running is not None:
            for actor, call in self._running.dispatcher.heads():
                if call is not None and any(task.ticket == ticket for task in call.tasks):
                    return actor.slot, actor.pid
        return None

    def busy(self) -> list[str]:
        """Which actors compute something or are not ready yet, in words."""
        found = []
        for actor, call in [] if self._running is None else self._running.dispatcher.heads():
            if not actor.is_ready:
                found.append(f"actor {actor.slot} is not ready yet")
            elif call is not None:
                ticket = call.tasks[0].ticket
                found.append(
                    f"actor {actor.slot} (pid {actor.pid} on {actor.host}) computes batch "
                    f"{ticket.index} (epoch {ticket.epoch})"
                )
        return found

    def held_batches(self) -> int:
        """Private batches that the consumer still refers to. (Of views of the store, Ray knows.)"""
        return 0 if self._copies is None else self._copies.held_batches

    def held_bytes(self) -> int:
        """Bytes of those."""
        return 0 if self._copies is None else self._copies.held_bytes

    # --- what actors are, and are told ----------------------------------------------------

    def _wanted(self, connection: Connection) -> Wanted:
        usual = 0 if connection.is_local else 1
        return Wanted(
            num_cpus=usual if self._num_cpus is None else self._num_cpus,
            memory=self._memory,
            resources=self._resources,
            scheduling=self._scheduling,
            environment=self._worker_env,
        )

    def _settings(self, seeding: Seeding) -> Settings:
        from seqloader import __version__
        from seqloader.executors.process.consumer.names import pickle_names
        from seqloader.executors.process.consumer.script import script_facts
        from seqloader.executors.process.consumer.sending import pickle_function
        from seqloader.executors.ray.sources import find_sources

        init = b""
        if self._worker_init is not None:
            init, _ = pickle_function(self._worker_init, "worker_init")
        return Settings(
            version=__version__,
            seed=seeding.seed,
            reseed_globals=seeding.reseed_globals,
            script=script_facts(),
            names=pickle_names(),
            sources=find_sources(),
            path=[os.path.abspath(one) for one in sys.path if isinstance(one, str)],
            argv=[one for one in sys.argv if isinstance(one, str)],
            worker_init=init,
        )


def _deadline(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else time.monotonic() + timeout_s
