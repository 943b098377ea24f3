"""What every executor must do. Nothing else is asked of it, but for `Diagnostics` if it has them.

Actors
    consumer   the one thread that is inside a call of the enqueuer; it alone calls an executor,
               except for `wake()` and `kill()`, which any thread or signal handler may call

Rules
    R1  `submit` never blocks and never computes. `collect` never blocks (the inline executor
        computes in `wait`, so that an executor is idle between the consumer's calls).
    R2  Every submitted ticket is answered by exactly one outcome, unless `discard` or `reset`
        comes first; after either, no outcome of an earlier ticket is handed out.
    R3  `wait` moves nothing: an exception raised asynchronously inside it loses nothing.
        `submit`, `collect`, `load`, `discard` may be torn by such an exception; the
        caller then calls `reset()` and submits again whatever it still wants.
    R4  When `discard` returns, no `__getitem__` of an earlier ticket is running, unless `wake` or
        `kill` cut it short: the caller then looks whether it is to stop. `reset` gives the
        same promise where work can be killed; where it cannot (threads), what still runs is
        ignored, and the next `discard` waits for it.
    R5  `stop` returns within its timeout with nothing left behind that can be ended.
    R6  Workers that have the consumer's own Sequence before them (threads) compute one at a time
        where they set generators that it holds. Such an executor also has the two methods of
        `SharesGenerators`, so that the consumer can compute a batch beside its workers.
    R7  An executor whose number of workers can be changed while it runs is `Resizable`. No ticket
        is lost or answered twice for it, none costs an attempt, and none that is computed is cut
        short.
    R8  One that tells what its workers use is `Measured`: then it is known whether they wait for
        CPUs or for something else.
    R9  An executor whose workers compute with a state of their own, which nothing that becomes of
        the consumer's Sequence after `load` can change, may have `RunsAhead`. It is then given
        tickets of coming epochs before those of this one are all answered.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from seqloader.memory.usage import Usage
    from seqloader.randomness.drawn_values import Noticed
    from seqloader.randomness.seeding import Seeding
    from seqloader.tickets import Death, Outcome, Shortage, Ticket

__all__ = [
    "Executor",
    "Measured",
    "Resizable",
    "RunsAhead",
    "SharesGenerators",
    "runs_ahead",
    "takes_turns",
    "turn_of",
]


@runtime_checkable
class Executor(Protocol):
    """Computes tickets; see the module's rules."""

    workers: int
    """How many tickets it can compute at once; 0 where it computes inside `wait`."""

    def start(self, sequence: Any, seeding: Seeding) -> None:
        """Make ready to compute batches of `sequence`. What cannot be sent is raised here."""

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket. Never blocks."""

    def wait(self, timeout_s: float | None) -> None:
        """Block until there may be something to collect, `wake()` was called, or time is up."""

    def collect(self) -> Iterable[Outcome | Death | Shortage | Noticed]:
        """Hand out what has come about since the last call, in any order. Never blocks.

        A `Death` tells of a worker that ended without holding a ticket, and was replaced; a
        `Shortage` of one that could not be replaced yet; a `Noticed` of a value that a worker may
        have drawn for itself.
        """

    def alarmed(self) -> bool:
        """Whether something else than an outcome may have come about, as the death of a worker.

        Asked for every batch, instead of `collect` where the batch due is there already.
        """

    def load(self, sequence: Any, *, in_place: bool) -> None:
        """Use the state that `sequence` has now for all later tickets. Nothing is in flight.

        `in_place`: it may have been changed inside its attributes; else only rebound ones count.
        """

    def discard(self, timeout_s: float | None = None) -> bool:
        """Throw away what is in flight, and wait until nothing is being computed.

        False: time was up first.
        """

    def reset(self) -> None:
        """As `discard`, without waiting and from any state: kill, forget, be ready for tickets."""

    def wake(self) -> None:
        """Make a `wait` that blocks in another thread return."""

    def kill(self) -> None:
        """End all work at once, from any thread or signal handler; only `stop` may follow."""

    def stop(self, timeout_s: float) -> None:
        """End. Idempotent; `start` may follow."""

    def abandon(self) -> None:
        """As `stop`, without waiting or raising: for finalizers, and for forked children, where
        it only lets go of the child's own descriptors."""


@runtime_checkable
class SharesGenerators(Protocol):
    """What rule R6 asks for besides. An executor that it is not about lacks both methods."""

    def turn(self) -> AbstractContextManager[object]:
        """Whoever holds this computes alone. Between `start` and `stop`, from any thread."""

    def takes_turns(self) -> bool:
        """Whether the Sequence holds generators now, so that the workers compute one at a time."""


@runtime_checkable
class Resizable(Protocol):
    """What rule R7 is about. An executor whose size is fixed lacks the method."""

    def resize(self, workers: int, tickets_ahead: int) -> None:
        """Have so many workers from now on: others start beside those at work, or those too many
        leave after what they compute, without being waited for. Between any two calls; before
        `start` it says how many that starts, and after `reset` they are as many.

        `tickets_ahead`: how many tickets are in flight or uncollected from now on, at most.
        """


@runtime_checkable
class Measured(Protocol):
    """What rule R8 is about."""

    def usage(self) -> Mapping[int, Usage | None]:
        """Of each worker that has started and stays, by a number that no other worker has had:
        what it uses; None where the system does not say."""


@runtime_checkable
class RunsAhead(Protocol):
    """What rule R9 is about. An executor that it is not about lacks the method."""

    def runs_ahead(self) -> bool:
        """Whether tickets of a coming epoch may be submitted now. Asked once for each such epoch.

        False where the state that was loaded refers to what the consumer may change: memory that is
        shared, a file that is mapped for writing.
        """


def runs_ahead(executor: Any) -> bool:
    """Whether it takes tickets of a coming epoch now (R9)."""
    return hasattr(executor, "runs_ahead") and bool(executor.runs_ahead())


def takes_turns(executor: Any) -> bool:
    """Whether its workers compute one at a time now (R6).

    Asked at every epoch: `isinstance` with a Protocol would take longer than all else that is asked
    then.
    """
    return hasattr(executor, "takes_turns") and bool(executor.takes_turns())


def turn_of(executor: Any) -> AbstractContextManager[object]:
    """To be held by the consumer while it computes a batch beside `executor`, which may be None."""
    return executor.turn() if isinstance(executor, SharesGenerators) else nullcontext()
