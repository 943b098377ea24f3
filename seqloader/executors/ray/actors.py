"""Actors of Ray's: asked for, told what to do, killed. Whoever calls it knows why."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.executors.ray.actor import BatchActor
from seqloader.executors.ray.cluster import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seqloader.executors.ray.assignment import Call

__all__ = ["Actor", "Factory", "Wanted", "is_alive", "kill", "wait_gone"]

_GONE_S: Final = 0.005
"""Between two looks whether the process of a killed actor has ended."""


class Wanted(NamedTuple):
    """What is asked of Ray for each actor."""

    num_cpus: float
    memory: int | None
    resources: Mapping[str, float]
    scheduling: Any
    environment: Mapping[str, str]

    def options(self) -> dict[str, Any]:
        """As Ray wants them. Its own retries are off: see `verdicts`."""
        options: dict[str, Any] = {
            "num_cpus": self.num_cpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "concurrency_groups": {"control": 1},
            "scheduling_strategy": self.scheduling,
        }
        if self.memory is not None:
            options["memory"] = self.memory
        if self.resources:
            options["resources"] = dict(self.resources)
        if self.environment:
            options["runtime_env"] = {"env_vars": dict(self.environment)}
        return options

    def described(self) -> str:
        """In words."""
        asked: dict[str, Any] = {"CPU": self.num_cpus, **self.resources}
        if self.memory is not None:
            asked["memory"] = self.memory
        return describe(asked)


class Actor:
    """One actor, and what it has been sent."""

    __slots__ = ("_handle", "host", "is_ready", "is_told", "pid", "slot", "version")

    def __init__(self, handle: Any, slot: int) -> None:
        self._handle = handle
        self.slot = slot
        self.is_ready = False
        self.pid = 0
        """On its own machine; 0 until it is ready."""
        self.host = ""
        self.version = 0
        """Of the last state that it was told of."""
        self.is_told = True
        """Whether it has been told for certain: else it is told again."""

    def get_ready(self, version: int, state: list[Any]) -> Any:
        """The reference of what it says first."""
        self.version = version
        return self._handle.ready.remote(version, state)

    def compute(self, call: Call, version: int, state: list[Any]) -> Any:
        """The reference of the reply to a call. The state goes along with the first that needs it:
        a reference costs Ray as much as the rest of a call."""
        told = state if version != self.version or not self.is_told else None
        self.version, self.is_told = version, True
        tickets = [tuple(task.ticket) for task in call.tasks]
        request = pickle.dumps((call.number, tickets, version), pickle.HIGHEST_PROTOCOL)
        return self._handle.compute.remote(request, told)

    def throw_away(self, up_to: int) -> None:
        """Have it compute no call up to that number. The one that runs goes on."""
        self._handle.throw_away.remote(up_to, [])

    def recall(self, calls: Iterable[Call]) -> Any:
        """Have it compute none of those; the reference of the numbers that it had not begun."""
        return self._handle.throw_away.remote(0, [call.number for call in calls])

    def kill(self) -> None:
        """End it: nothing that it does is waited for."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return  # the interpreter, or the user, has ended Ray
        try:
            ray.kill(self._handle, no_restart=True)
        except Exception:
            pass  # it has ended by itself, and its node perhaps


class Factory:
    """Asks Ray for actors.

    Args:
        settings: The reference of what all are told.
    """

    def __init__(self, wanted: Wanted, settings: Any) -> None:
        import ray

        self.wanted = wanted
        self._settings = settings
        ray.method(concurrency_group="control")(BatchActor.throw_away)
        self._class = ray.remote(**wanted.options())(BatchActor)

    def make(self, slot: int) -> Actor:
        """One more, which becomes ready in its own time, or never."""
        return Actor(self._class.remote(slot, self._settings), slot)


def wait_gone(actors: Iterable[Actor], deadline: float) -> None:
    """Wait until killed actors have ended, of those on this machine."""
    here = socket.gethostname()
    near = [actor.pid for actor in actors if actor.pid and actor.host == here]
    while any(map(is_alive, near)) and time.monotonic() < deadline:
        time.sleep(_GONE_S)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill(actors: Iterable[Actor]) -> None:
    """End all of them."""
    for actor in actors:
        actor.kill()
