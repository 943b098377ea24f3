"""What to do about each error of Ray's. Pure, and without Ray: errors go by their classes' names.

Ray's own retries are off (`max_restarts=0`, `max_task_retries=0`): they restart an actor only where
it finds room again, and wait for that for ever.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TABLE", "Judgement", "Verdict", "judge"]


class Verdict(enum.Enum):
    """What an error means for the actor whose answer it came in place of."""

    ACTOR_GONE = enum.auto()
    """It computes nothing any more: it is replaced, and all that it had is dispatched again."""
    AGAIN = enum.auto()
    """The answer alone is lost: that call is dispatched again, and the actor lives on."""
    USERS = enum.auto()
    """The batch itself is the reason, and would be every time."""
    GIVE_UP = enum.auto()
    """Nothing here can be mended by another try."""


class Judgement(NamedTuple):
    """A verdict, and on whom the loss is counted."""

    verdict: Verdict
    blames: bool = False
    """Whether it is an attempt of the batch that ran: never of those queued behind it."""
    for_memory: bool = False
    """Whether a machine had too little memory: fewer actors help, more tries do not."""


_GONE: Final = Judgement(Verdict.ACTOR_GONE, blames=True)
_TAKEN: Final = Judgement(Verdict.ACTOR_GONE)
_AGAIN: Final = Judgement(Verdict.AGAIN)
_USERS: Final = Judgement(Verdict.USERS)
_GIVE_UP: Final = Judgement(Verdict.GIVE_UP)

TABLE: Final = {
    # The process of the actor, its node, or the way there.
    "RayActorError": _GONE,
    "ActorDiedError": _GONE,
    "ActorUnavailableError": _TAKEN,  # the network failed: it may live, and is killed to be sure
    "OutOfMemoryError": Judgement(Verdict.ACTOR_GONE, blames=True, for_memory=True),
    "NodeDiedError": _GONE,
    "WorkerCrashedError": _GONE,
    "LocalRayletDiedError": _GONE,
    "AsyncioActorExit": _GONE,
    # It was never there.
    "ActorUnschedulableError": _TAKEN,
    "TaskUnschedulableError": _TAKEN,
    "ActorPlacementGroupRemoved": _TAKEN,
    "TaskPlacementGroupRemoved": _TAKEN,
    "ActorHandleNotFoundError": _TAKEN,
    # The answer was computed, and cannot be had.
    "ObjectLostError": _AGAIN,
    "ObjectFetchTimedOutError": _AGAIN,
    "ObjectFreedError": _AGAIN,
    "ObjectReconstructionFailedError": _AGAIN,
    "OwnerDiedError": _AGAIN,
    "ReferenceCountingAssertionError": _AGAIN,
    "PlasmaObjectNotAvailable": _AGAIN,
    "TaskCancelledError": _AGAIN,
    "RpcError": _AGAIN,
    "RaySystemError": _AGAIN,
    # Its batch cannot be stored, or our own code in the actor raised.
    "RayTaskError": _USERS,
    "ObjectStoreFullError": _USERS,
    "OutOfDiskError": _USERS,
    "UnserializableException": _USERS,
    # All others of Ray's, of which none should come: whoever meets one is told its name.
    "AuthenticationError": _GIVE_UP,
    "RuntimeEnvSetupError": _GIVE_UP,
    "RayError": _GIVE_UP,
}
"""By the name of the class; what is not here is judged as its nearest base that is."""


def judge(names: Iterable[str], *, preempted: bool = False) -> Judgement:
    """The judgement of an error.

    Args:
        names: Of its class and the bases of that, in the order of resolution.
        preempted: Whether Ray says that the node was taken away, as spot machines are.
    """
    found = next((TABLE[name] for name in names if name in TABLE), _GIVE_UP)
    return found._replace(blames=False) if preempted else found
