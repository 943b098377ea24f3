"""What is done about each error of Ray's: every kind of loss, without Ray."""

from __future__ import annotations

import inspect

import pytest

from seqloader.executors.ray.verdicts import TABLE, Verdict, judge

LOSSES = {
    "an actor was killed": (["ActorDiedError", "RayActorError", "RayError"], "ACTOR_GONE", True),
    "an actor cannot be reached": (["ActorUnavailableError", "RayActorError"], "ACTOR_GONE", False),
    "memory ran out": (["OutOfMemoryError", "RayError"], "ACTOR_GONE", True),
    "a node died": (["NodeDiedError", "RayError"], "ACTOR_GONE", True),
    "a worker crashed": (["WorkerCrashedError", "RayError"], "ACTOR_GONE", True),
    "an actor cannot be placed": (["ActorUnschedulableError", "RayError"], "ACTOR_GONE", False),
    "a placement group went": (["ActorPlacementGroupRemoved", "RayError"], "ACTOR_GONE", False),
    "an object was lost": (["ObjectLostError", "RayError"], "AGAIN", False),
    "reconstruction failed": (
        ["ObjectReconstructionFailedError", "ObjectLostError", "RayError"],
        "AGAIN",
        False,
    ),
    "the driver cancelled": (["TaskCancelledError", "RayError"], "AGAIN", False),
    "our code in the actor raised": (
        ["RayTaskError(ValueError)", "RayTaskError", "RayError", "ValueError"],
        "USERS",
        False,
    ),
    "the store is full": (["ObjectStoreFullError", "RayError"], "USERS", False),
    "no token": (["AuthenticationError", "RayError"], "GIVE_UP", False),
    "an error of a later Ray": (["QuiteNewError", "RayError", "Exception"], "GIVE_UP", False),
    "no error of Ray's": (["ValueError", "Exception", "BaseException", "object"], "GIVE_UP", False),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_has_its_verdict_and_counts_on_whom_it_should(loss):
    names, verdict, blames = LOSSES[loss]

    judgement = judge(names)

    assert (judgement.verdict, judgement.blames) == (Verdict[verdict], blames)


def test_preemption_counts_against_nobody():
    judgement = judge(["ActorDiedError", "RayActorError"], preempted=True)

    assert judgement.verdict is Verdict.ACTOR_GONE
    assert not judgement.blames


def test_only_a_kill_for_memory_asks_for_fewer_actors():
    assert [name for name in TABLE if TABLE[name].for_memory] == ["OutOfMemoryError"]


def test_every_error_that_ray_has_is_judged_on_purpose():
    exceptions = pytest.importorskip("ray", reason="it has the errors").exceptions
    by_their_base = {  # of ways to use Ray that are not ours
        "CrossLanguageError", "UserCodeException", "GetTimeoutError", "ActorAlreadyExistsError",
        "PendingCallsLimitExceeded", "ObjectRefStreamEndOfStreamError",
        "OufOfBandObjectRefSerializationException", "StreamingGeneratorReplayInconsistentError",
        "RayChannelError", "RayChannelTimeoutError", "RayCgraphCapacityExceeded",
        "RayDirectTransportError",
    }  # fmt: skip
    kinds = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass)]

    unknown = {
        kind.__name__ for kind in kinds if issubclass(kind, exceptions.RayError)
    } - TABLE.keys()

    assert {name for name in unknown if "ObjectReconstructionFailed" not in name} <= by_their_base
