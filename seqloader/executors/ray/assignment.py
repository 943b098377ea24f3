"""Which actor computes which tickets: facts in, calls out. Pure.

Rules
    D1  A task is a ticket as it was submitted, once. It is *open* until its first answer; a second
        one is thrown away. So a task may be computed twice, and is answered once.
    D2  All that is submitted goes to the actors that are ready, evenly: an actor computes its calls
        in order, and has something to do also while the consumer is elsewhere.
    D3  An actor with nothing to do gets what is queued behind a call that takes longer. It is
        *recalled* first: if its actor has not begun it, it is *void*, and its tasks are dispatched
        again. So nothing is computed twice for that, and a batch that ends its actor ends one.
    D4  If an actor ends, the oldest of its calls may be to blame; or a later one, since the last
        answers of an actor that ends go down with it. So nobody is blamed at first: each of its
        tasks is dispatched *alone*, to an actor that has nothing else, and whoever ends that one is
        to blame. What was alone already is blamed at once, and so is a call that has run too long.
        The consumer waits for them, probably: what is queued elsewhere and comes later in the epoch
        is recalled, and they go first.
    D5  What is dispatched again comes before what was never dispatched, by its place in the epoch.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from seqloader.tickets import Ticket

__all__ = ["Assignment", "Call", "Task"]

BEHIND_S: Final = 0.02
"""So long a call has run before what is queued behind it goes to an actor with nothing to do: many
calls are over sooner, and what is queued has begun before it could be thrown away."""
FREE_TRIES: Final = 10
"""So often a ticket is dispatched again at no cost; then the next loss counts."""


class Task(NamedTuple):
    """A ticket that was submitted. They sort by their place in the epoch."""

    epoch: int
    position: int
    serial: int
    ticket: Ticket
    tries: int = 0
    """How often it was lost at no cost."""
    alone: bool = False
    """Whether it is to have a call of its own."""


class Call:
    """Tasks that an actor computes one after the other."""

    __slots__ = ("actor", "begun", "number", "recalled", "since", "tasks", "void")

    def __init__(self, number: int, actor: int, tasks: tuple[Task, ...], since: float) -> None:
        self.number = number
        self.actor = actor
        self.tasks = tasks
        self.since = since
        """When it may have begun, at the earliest that is known."""
        self.recalled = False
        """Whether its actor has been asked to throw it away, and has not said yet."""
        self.begun = False
        """Whether it has said that it could not."""
        self.void = False


class Assignment:
    """The tasks and calls of one pool of actors, which go by numbers."""

    def __init__(self) -> None:
        self._waiting: list[Task] = []
        """A heap."""
        self._open: dict[int, Task] = {}
        """By serial: submitted, and not answered."""
        self._queues: dict[int, deque[Call]] = {}
        """Of actors that are ready: the oldest call first."""
        self._loads: dict[int, int] = {}
        """Open tasks of each."""
        self._leaving: set[int] = set()
        self._calls = 0
        self._serial = 0
        self.window = 0
        """Tasks that have been open at once, at the most."""

    # --- facts ----------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no actor has a call."""
        return not any(self._queues.values())

    @property
    def waiting(self) -> int:
        """How many tasks no actor has."""
        return len(self._waiting)

    def has_older(self, number: int) -> bool:
        """Whether an actor has a call up to that number."""
        return any(queue and queue[0].number <= number for queue in self._queues.values())

    @property
    def newest(self) -> int:
        """The number of the last call."""
        return self._calls

    def head(self, actor: int) -> Call | None:
        """The call that the actor computes now, as far as is known. Any thread."""
        return next(iter(self._queues.get(actor, ())), None)

    def has_left(self, actor: int) -> bool:
        """Whether it was to leave, and has nothing to do any more."""
        return actor in self._leaving and not self._queues[actor]

    @property
    def has_idle(self) -> bool:
        """Whether an actor has no call."""
        return any(not self._queues[actor] for actor in self._able())

    def calls_of(self, actor: int) -> list[Call]:
        """All that an actor has, the oldest first."""
        return [*self._queues.get(actor, ())]

    def oldest(self) -> list[Call]:
        """The call that each actor computes now."""
        return [queue[0] for queue in self._queues.values() if queue]

    # --- events ---------------------------------------------------------------------------

    def submit(self, ticket: Ticket) -> None:
        """A ticket is to be computed."""
        self._serial += 1
        task = Task(ticket.epoch, ticket.position, self._serial, ticket)
        self._open[task.serial] = task
        heapq.heappush(self._waiting, task)
        self.window = max(self.window, len(self._open))

    def join(self, actor: int) -> None:
        """An actor is ready."""
        self._queues[actor] = deque()
        self._loads[actor] = 0

    def leave(self, actor: int) -> list[Call]:
        """An actor is one too many: it gets no calls, and ends after the one that runs.

        Returns:
            Calls to be recalled.
        """
        self._leaving.add(actor)
        return self._recall(self._behind(self._queues[actor]))

    def not_begun(self, actor: int, numbers: Container[int]) -> None:
        """Of the calls that were recalled, those are void. The others have begun."""
        for call in self._queues.get(actor, ()):
            if call.recalled:
                call.recalled = False
                if call.number in numbers:
                    self._free(call)
                else:
                    call.begun = True

    def _free(self, call: Call) -> None:
        if not call.void:
            call.void = True
            self._loads[call.actor] -= len(call.tasks)
            for task in call.tasks:
                if task.serial in self._open:
                    heapq.heappush(self._waiting, task)

    def answered(self, call: Call, now: float) -> list[Task | None]:
        """An actor has answered a call.

        Returns:
            Its tasks, in order; None for those that are not open any more.
        """
        self._remove(call, now)
        found: list[Task | None] = []
        for task in call.tasks:
            is_open = self._open.pop(task.serial, None) is not None
            found.append(task if is_open else None)
        return found

    def thrown_away(self, call: Call, now: float) -> None:
        """An actor has thrown a call away that it was asked for, at the very last moment perhaps:
        then it had said that it had begun it."""
        self._free(call)
        self._remove(call, now)

    def lost(self, call: Call, now: float) -> list[Ticket]:
        """The answer of a call is lost. Those tickets of it that are to be tried no more."""
        self._remove(call, now)
        if call.void:
            return []
        over = [self._end_of(task, blames=False) for task in call.tasks]
        return [ticket for ticket in over if ticket is not None]

    def gone(self, actor: int, *, blames: bool, is_certain: bool = False) -> Ticket | None:
        """An actor has ended.

        Args:
            blames: whether one of its tasks may be the reason.
            is_certain: whether that is its oldest call.

        Returns:
            The ticket that is to blame, which is not open any more.
        """
        calls = [call for call in self._queues.pop(actor, ()) if not call.void]
        self._loads.pop(actor, None)
        self._leaving.discard(actor)
        culprit = None
        for place, call in enumerate(calls):
            if place == 0 and len(call.tasks) == 1 and (is_certain or len(calls) == 1):
                culprit = self._end_of(call.tasks[0], blames)
                continue
            suspect = blames and (place == 0 or not is_certain)
            for task in call.tasks:
                if task.serial in self._open:
                    tries = task.tries + (place == 0 and not blames)
                    alone = task.alone or suspect or tries >= FREE_TRIES
                    heapq.heappush(self._waiting, task._replace(alone=alone, tries=tries))
        return culprit

    def _end_of(self, task: Task, blames: bool) -> Ticket | None:
        """The task that ran when its actor ended: its ticket, if that counts as a try."""
        if task.serial not in self._open:
            return None
        if blames or task.tries >= FREE_TRIES:
            del self._open[task.serial]
            return task.ticket
        heapq.heappush(self._waiting, task._replace(tries=task.tries + 1))
        return None

    def discard(self) -> list[int]:
        """Nothing that was submitted is wanted any more. Actors that have calls, for now."""
        self._waiting.clear()
        self._open.clear()
        self._loads = dict.fromkeys(self._loads, 0)
        for queue in self._queues.values():
            for call in queue:
                call.void = True
        return [actor for actor, queue in self._queues.items() if queue]

    # --- decisions ------------------------------------------------------------------------

    def send(self, chunk: int, wanted: int, now: float, *, flush: bool) -> Iterator[Call]:
        """Calls to be made now. Each is made before the next is asked for.

        Args:
            chunk: How many tasks make a call.
            wanted: How many actors there are to be: those to come have a part of the work too.
            flush: Whether fewer than a chunk go out as well.
        """
        most = max(2 * chunk, -(-len(self._open) // max(wanted, 1)))
        while self._waiting:
            alone = self._waiting[0].alone
            if not (alone or flush) and len(self._waiting) < chunk:
                return
            actor = min(self._able(), key=self._loads.__getitem__, default=None)
            if actor is None or self._loads[actor] >= (1 if alone else most):
                return
            yield self._call(actor, chunk, now)

    def _able(self) -> list[int]:
        """Actors that may get a call."""
        return [
            actor
            for actor, queue in self._queues.items()
            if actor not in self._leaving and not (queue and queue[-1].tasks[0].alone)
        ]

    def balance(self, now: float) -> list[Call]:
        """Calls to be recalled: an actor has nothing to do, or what is to be alone goes first."""
        if self._waiting:
            first = self._waiting[0]
            queues = self._queues.values() if first.alone else ()
            behind = [call for queue in queues for call in self._behind(queue)]
            return self._recall([call for call in behind if call.tasks[0] > first])
        if not self.has_idle:
            return []
        idle = sum(not self._queues[actor] for actor in self._able())
        queues = self._queues.values()
        recalled = sum(call.recalled for queue in queues for call in queue)
        queued = [
            call
            for queue in queues
            if queue and now - queue[0].since >= BEHIND_S
            for call in self._behind(queue)
        ]
        queued.sort(key=lambda call: call.tasks[0])
        return self._recall(queued[: max(0, idle - recalled)])

    def balance_due(self) -> float | None:
        """When `balance` may find something next; None: not before something comes about."""
        queues = self._queues.values()
        if self._waiting or not self.has_idle or any(c.recalled for q in queues for c in q):
            return None
        behind = [queue[0].since for queue in queues if self._behind(queue)]
        return min(behind) + BEHIND_S if behind else None

    # --- parts ----------------------------------------------------------------------------

    @staticmethod
    def _behind(queue: deque[Call]) -> list[Call]:
        """Calls that are not begun, as far as is known, and not recalled."""
        calls = list(queue)[1:]
        return [call for call in calls if not (call.void or call.recalled or call.begun)]

    @staticmethod
    def _recall(calls: list[Call]) -> list[Call]:
        for call in calls:
            call.recalled = True
        return calls

    def _call(self, actor: int, chunk: int, now: float) -> Call:
        tasks = [heapq.heappop(self._waiting)]
        while len(tasks) < chunk and self._waiting and not tasks[0].alone:
            if self._waiting[0].alone:
                break
            tasks.append(heapq.heappop(self._waiting))
        self._calls += 1
        call = Call(self._calls, actor, tuple(tasks), now)
        self._queues[actor].append(call)
        self._loads[actor] += len(tasks)
        return call

    def _remove(self, call: Call, now: float) -> None:
        queue = self._queues[call.actor]
        queue.remove(call)
        if not call.void:
            self._loads[call.actor] -= len(call.tasks)
        if queue:
            queue[0].since = max(queue[0].since, now)

    # --- invariants -----------------------------------------------------------------------

    def check(self) -> None:
        """Assert what holds between any two events."""
        calls = [call for queue in self._queues.values() for call in queue if not call.void]
        held = [task.serial for call in calls for task in call.tasks]
        waiting = [task.serial for task in self._waiting]
        assert len(waiting) == len(set(waiting)), "a task waits twice"
        assert set(waiting) <= self._open.keys(), "what waits is open"
        assert self._open.keys() <= {*held, *waiting}, "a task that nobody has"
        for actor, queue in self._queues.items():
            load = sum(len(call.tasks) for call in queue if not call.void)
            assert self._loads[actor] == load, (actor, self._loads[actor], load)
