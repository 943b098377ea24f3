"""The Ray executor: batches computed by actors, on this machine or on others.

    from seqloader.executors.ray import RayExecutor

Actors
    consumer     one thread, whichever is inside a call; it alone publishes the Sequence
    dispatcher   a thread of the consumer's process, which alone speaks to Ray and hears from it
    actor        a process of Ray's, one call at a time, in a thread that is not its first

One batch, time going down
    consumer           dispatcher                            actor
    ticket    ==inbox=>  task, assigned to an actor
                         call               == Ray ==>       batch = sequence[index]
                                                             pickled, arrays beside the pickle
    open it  <==box==    the call's future  <== store ===    reply: an answer for each ticket
    (last view dies)                                         the object leaves the store

Records (records.py)
    settings   of one start: seeding, script, sources; an object of Ray's
    state      the Sequence in one version: objects of Ray's, fetched once by each machine
    call       number, tickets, version, and the reference of the state
    reply      answers, one for each ticket

Rules, beside those of the files they are about
    R1  Ray's own retries are off. What each error of Ray's means is in one table (verdicts.py).
    R2  No ticket goes to an actor that has not said it is ready; those that are go on (troupe.py).
    R3  A ticket may be computed twice, never answered twice (assignment.py).
    R4  A batch is computed with the version that its call names; an actor that has another loads it
        first. So one that joins late, or in place of another, has the right one.
    R5  Nothing is in the store but the state, and the replies of tickets that were submitted: the
        window bounds them. Small batches share a call (chunks.py), and so an object.
    R6  The consumer's steps are one call into C each (exchange.py): an exception that comes
        asynchronously tears nothing. No such comes into the dispatcher.

When it breaks
    sequence raises    an answer that says so; the actor lives on
    actor ends         others get what it had, each batch alone; one that ends that one is lost
    node ends          as above, for each actor; replies that lay there are computed again
    no new actor       those that are go on; with none, an error names what was asked for
    actor is stuck     with timeout_s: killed, as above
    memory runs out    after a second kill, one actor fewer for a time
    consumer dies      Ray ends its actors, and itself where it was started here

Not here: order, epochs, tries (enqueuer). What pickles is shared with the process executor. Nothing
is imported here: an actor passes through this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloader.executors.ray.executor import RayExecutor

__all__ = ["RayExecutor"]


def __getattr__(name: str) -> Any:
    if name != "RayExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seqloader.executors.ray.executor import RayExecutor

    return RayExecutor
