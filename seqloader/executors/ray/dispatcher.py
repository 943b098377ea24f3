"""The dispatcher: the thread that speaks to Ray, and hears from it.

It owns everything that changes, and all that comes about reaches it through one queue: tickets and
orders from the consumer, answers from Ray, whose futures call back in threads of Ray's. What it is
to do is decided by the pure parts (assignment, troupe, chunks, verdicts); here it is done.

It is a thread, since nothing else hears of an answer, a death or a new actor while the consumer
trains; and because no exception comes asynchronously into it, as into the consumer.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
import time
from queue import Empty
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import WorkerStartError
from seqloader.executors.process.wire import failures
from seqloader.executors.ray.actors import Actor, Factory, kill, wait_gone
from seqloader.executors.ray.assignment import Assignment, Call
from seqloader.executors.ray.batch import RayBatch
from seqloader.executors.ray.chunks import Chunks
from seqloader.executors.ray.cluster import describe
from seqloader.executors.ray.exchange import Event, Exchange, Message
from seqloader.executors.ray.records import FAILED, RAISED
from seqloader.executors.ray.troupe import Stage, Troupe
from seqloader.executors.ray.verdicts import Judgement, Verdict, judge
from seqloader.randomness.drawn_values import Noticed
from seqloader.tickets import Death, Lost, Raised, Shortage

if TYPE_CHECKING:
    from concurrent.futures import Future

    from seqloader.executors.ray.assignment import Task
    from seqloader.executors.ray.copies import Copies
    from seqloader.tickets import Outcome

__all__ = ["Dispatcher"]

_LOOK_S: Final = 1.0
"""Between two looks whether Ray is there still, where nothing else comes about."""
_PART_S: Final = 0.005
"""A part of a chunk waits so long for the rest."""
_LOADING_S: Final = 120.0
"""Time that loading a new version may take beyond `timeout_s`."""


class Dispatcher:
    """The state of one start, and what happens to it. All in one thread, but for `busy`, `holder`.

    Args:
        troupe: Who is to be; nobody has been asked for yet.
        timeout_s: Seconds that one ticket may take.
        copies: Memory for batches that are to be private; None: they are views of the store.
    """

    def __init__(
        self,
        exchange: Exchange,
        factory: Factory,
        troupe: Troupe,
        state: tuple[int, list[Any]],
        *,
        timeout_s: float | None,
        copies: Copies | None,
        window: int,
    ) -> None:
        self._exchange = exchange
        self._factory = factory
        self._troupe = troupe
        self._version, self._state = state
        self._timeout_s = timeout_s
        self._copies = copies
        self._window = window
        """Tickets ahead; 0: not said."""
        self._box = exchange.box
        self._assignment = Assignment()
        self._chunks = Chunks()
        self._actors: dict[int, Actor] = {}
        self._references: dict[int, Any] = {}
        """Of replies that are to come, by the number of the call."""
        self._part_since: float | None = None
        """Since when a part of a chunk has waited."""
        self._to_settle = 0
        """The number of a `discard` or `reset` that is not over; 0: none."""
        self._last_discarded = 0
        """The number of the last call before it."""

    def begin(self) -> threading.Thread:
        """Ask for the first actors, and begin to work."""
        self._fill(time.monotonic())
        thread = threading.Thread(target=self._run, name="seqloader-ray", daemon=True)
        thread.start()
        return thread

    # --- any thread -----------------------------------------------------------------------

    def heads(self) -> list[tuple[Actor, Call | None]]:
        """Each actor, and what it computes now."""
        return [(one, self._assignment.head(number)) for number, one in [*self._actors.items()]]

    def check(self) -> None:
        """Assert what holds between any two events, while nothing happens."""
        self._troupe.check()
        self._assignment.check()
        assert self._troupe.members.keys() == self._actors.keys()

    # --- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        exchange = self._exchange
        try:
            while not exchange.ending:
                self._hear()
                if not exchange.ending:
                    self._act()
            self._finish()
        except BaseException as error:
            exchange.failure = error
        finally:
            actors = [*self._actors.values()]
            kill(actors)
            exchange.ring()
            wait_gone(actors, exchange.deadline)
            self._actors.clear()
            self._references.clear()
            exchange.left = True
            exchange.ring()

    def _finish(self) -> None:
        """Let what is being computed be finished, within half of the time that there is."""
        for number in self._assignment.discard():
            self._actors[number].throw_away(self._assignment.newest)
        begun = time.monotonic()
        while not self._assignment.is_idle:
            rest_s = (begun + self._exchange.deadline) / 2 - time.monotonic()
            if rest_s <= 0.0:
                return
            self._hear(rest_s)

    def _hear(self, most_s: float = math.inf) -> None:
        """Wait for something to come about, and take in all that has."""
        inbox = self._exchange.inbox
        try:
            message = inbox.get(timeout=min(most_s, self._patience_s(time.monotonic())))
            while True:
                self._take(message)
                del message  # it may hold a batch
                message = inbox.get_nowait()
        except Empty:
            pass

    def _patience_s(self, now: float) -> float:
        """Until something is to be done anyhow."""
        due = [now + _LOOK_S]
        if self._timeout_s is not None:
            due += [call.since + self._timeout_s for call in self._assignment.oldest()]
        if (pause_s := self._troupe.pause_s(now)) > 0.0:
            due.append(now + pause_s)
        if self._part_since is not None:
            due.append(self._part_since + _PART_S)
        if (balance_due := self._assignment.balance_due()) is not None:
            due.append(balance_due)
        return max(0.0, min(due) - now)

    def _take(self, message: Message) -> None:
        event, subject, more = message
        if event is Event.ANSWER:
            self._take_reply(subject, more)
        elif event is Event.SUBMIT:
            self._assignment.submit(subject)
        elif event is Event.READY:
            self._take_ready(subject, more)
        elif event is Event.RECALLED:
            if more.exception() is None:  # else it has ended, which its calls tell
                self._assignment.not_begun(subject, more.result())
        elif event is Event.LOAD:
            self._version, self._state = subject, more
        elif event is Event.RESIZE:
            self._troupe.wanted, self._window = subject, more
            self._dismiss()
        elif event is not Event.END:
            self._to_settle, self._box = subject, more
            self._last_discarded = self._assignment.newest
            busy = self._assignment.discard()
            for number in busy:
                if event is Event.RESET:
                    self._end(number, Judgement(Verdict.ACTOR_GONE), tells=False)
                else:
                    self._actors[number].throw_away(self._assignment.newest)

    def _act(self) -> None:
        """Do what is to be done, after something came about or time has passed."""
        now = time.monotonic()
        if not sys.modules["ray"].is_initialized():
            raise WorkerStartError("Ray was shut down while its actors were at work")
        if self._timeout_s is not None:
            for call in self._assignment.oldest():
                if now - call.since > self._timeout_s:
                    gone = Judgement(Verdict.ACTOR_GONE, blames=True)
                    self._end(call.actor, gone, "it was killed", reason="timeout")
        self._fill(now)
        self._send(now)
        if self._to_settle and not self._assignment.has_older(self._last_discarded):
            self._exchange.settled, self._to_settle = self._to_settle, 0
            self._exchange.ring()

    # --- calls ----------------------------------------------------------------------------

    def _send(self, now: float) -> None:
        """Make the calls that are to be made now."""
        assignment = self._assignment
        part_s = 0.0 if self._part_since is None else now - self._part_since
        for call in assignment.balance(now):
            self._recall(call.actor, [call])
        chunk = self._chunks.size(self._window or assignment.window, self._troupe.wanted)
        flush = part_s >= _PART_S or assignment.is_idle
        for call in assignment.send(chunk, self._troupe.wanted, now, flush=flush):
            actor = self._actors[call.actor]
            if actor.version != self._version:
                call.since += _LOADING_S
            reference = actor.compute(call, self._version, self._state)
            self._references[call.number] = reference
            self._call_back(reference, Event.ANSWER, call)
        waits = assignment.waiting and assignment.has_idle
        self._part_since = (self._part_since or now) if waits else None

    def _call_back(self, reference: Any, event: Event, subject: Any) -> None:
        post = functools.partial(self._exchange.post, event, subject)
        reference.future().add_done_callback(post)

    def _take_reply(self, call: Call, future: Future[Any]) -> None:
        if self._references.pop(call.number, None) is None:
            return  # its actor has ended, and the call went with it
        now, actor = time.monotonic(), self._actors[call.actor]
        error = future.exception()
        if error is not None:
            self._judge(error, call.actor, call, now)
            return
        reply = future.result()
        if reply is None:
            actor.is_told = False  # it may be why
            self._assignment.thrown_away(call, now)
        elif reply[0] == FAILED:
            raise _start_failure(actor, failures.unpack(reply[1]))
        else:
            self._troupe.works()
            answers, noticed = reply
            for one in noticed:
                self._tell(Noticed(*one))
            for task, answer in zip(self._assignment.answered(call, now), answers, strict=True):
                if task is not None:
                    self._tell_answer(task, actor, answer)
        if self._assignment.has_left(call.actor):
            self._release(call.actor)

    def _tell_answer(self, task: Task, actor: Actor, answer: tuple[Any, ...]) -> None:
        kind, busy_s, what = answer[:3]
        if kind == RAISED:
            error = failures.unpack(what)
            self._tell(Raised(task.ticket, actor.slot, error, actor.pid, busy_s))
        else:
            self._chunks.measure(busy_s, what)
            self._tell(RayBatch(task.ticket, actor.slot, answer, self._copies))

    def _tell(self, told: Outcome | Death | Shortage | Noticed) -> None:
        self._box.append(told)
        if isinstance(told, Death | Shortage | Lost):
            self._exchange.alarm = True
        self._exchange.ring()

    # --- actors ---------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        """Ask for the actors that are missing."""
        if self._troupe.is_stuck(now):
            raise self._nobody()
        for slot in self._troupe.vacant(now):
            actor = self._factory.make(slot)
            number = self._troupe.begin(slot, now)
            self._actors[number] = actor
            self._call_back(actor.get_ready(self._version, self._state), Event.READY, number)

    def _take_ready(self, number: int, future: Future[Any]) -> None:
        actor = self._actors.get(number)
        if actor is None:
            return  # it has been killed meanwhile
        error = future.exception()
        if error is not None:
            self._judge(error, number, None, time.monotonic())
            return
        kind, *facts = future.result()
        if kind == FAILED:
            raise _start_failure(actor, failures.unpack(facts[0]))
        actor.pid, actor.host = facts
        actor.is_ready = True
        self._troupe.becomes_ready(number)
        self._assignment.join(number)

    def _judge(self, error: BaseException, number: int, call: Call | None, now: float) -> None:
        judgement = _judgement(error)
        if judgement.verdict is Verdict.GIVE_UP:
            raise WorkerStartError(f"Ray cannot go on: {type(error).__name__}: {error}") from error
        if judgement.verdict is Verdict.ACTOR_GONE or call is None:
            self._end(number, judgement, _said(error))
            return
        actor = self._actors[number]
        if judgement.verdict is Verdict.USERS and not call.void:
            for task in self._assignment.answered(call, now):
                if task is not None:
                    self._tell(Raised(task.ticket, actor.slot, error, actor.pid))
            return
        for ticket in self._assignment.lost(call, now):
            death = Death(actor.slot, actor.pid, None, None, said=_said(error))
            self._tell(Lost(ticket, death))

    def _end(
        self,
        number: int,
        judgement: Judgement,
        said: str = "",
        *,
        reason: str = "died",
        tells: bool = True,
    ) -> None:
        """An actor is gone, or is to go now: its calls are for others."""
        actor = self._actors.pop(number)
        actor.kill()
        self._forget_calls(number)
        now = time.monotonic()
        culprit = self._assignment.gone(
            number, blames=judgement.blames, is_certain=reason == "timeout"
        )
        member = self._troupe.gone(number, now, for_memory=judgement.for_memory)
        failed = member.stage is Stage.STARTING
        if failed and self._troupe.gives_up():
            raise WorkerStartError(
                "actors end before they are ready, several in a row. Of the last one, Ray says: "
                f"{said}"
            )
        if not tells or (member.stage is Stage.LEAVING and culprit is None):
            return
        pause_s = self._troupe.pause_s(now)
        death = Death(
            actor.slot,
            actor.pid,
            None,
            None,
            reason,
            replaced=not pause_s,
            failed=failed,
            for_memory=judgement.for_memory,
            said=f"{f'on {actor.host}: ' if actor.host else ''}{said}",
        )
        self._tell(death if culprit is None else Lost(culprit, death))
        if pause_s:
            self._tell(Shortage(len(self._troupe.ready()), self._troupe.wanted, said, pause_s))

    def _forget_calls(self, number: int) -> None:
        for call in self._assignment.calls_of(number):
            self._references.pop(call.number, None)

    def _dismiss(self) -> None:
        """Let those leave that are too many."""
        for number in self._troupe.excess():
            self._troupe.leaves(number)
            actor = self._actors[number]
            if actor.is_ready:
                self._recall(number, self._assignment.leave(number))
            if not actor.is_ready or self._assignment.has_left(number):
                self._release(number)

    def _recall(self, number: int, calls: list[Call]) -> None:
        if calls:
            self._call_back(self._actors[number].recall(calls), Event.RECALLED, number)

    def _release(self, number: int) -> None:
        """Let an actor end that has nothing to do."""
        actor = self._actors.pop(number)
        actor.kill()
        self._assignment.gone(number, blames=False)
        self._troupe.gone(number, time.monotonic())

    def _nobody(self) -> WorkerStartError:
        ray = sys.modules["ray"]
        return WorkerStartError(
            f"no actor was ready within {self._troupe.start_timeout_s:g} s. Each asks for "
            f"{self._factory.wanted.described()}; the cluster has "
            f"{describe(ray.cluster_resources())} in all, and "
            f"{describe(ray.available_resources())} of that is free. Ask for less (num_cpus, "
            "memory, resources), free some, or wait longer (start_timeout_s)"
        )


def _judgement(error: BaseException) -> Judgement:
    ray = sys.modules["ray"]
    cause = getattr(error, "cause", None)
    if isinstance(error, ray.exceptions.RayTaskError) and isinstance(
        cause, ray.exceptions.RayError
    ):
        return Judgement(Verdict.ACTOR_GONE)  # it could not get the state
    names = [kind.__name__ for kind in type(error).__mro__]
    return judge(names, preempted=bool(getattr(error, "preempted", False)))


def _start_failure(actor: Actor, error: BaseException) -> WorkerStartError:
    failure = WorkerStartError(
        f"actor {actor.slot} could not start: loading the Sequence or worker_init raised "
        f"{type(error).__name__}: {error}. It would raise in every actor, so it was not tried again"
    )
    failure.__cause__ = error
    return failure


_SAID_CHARACTERS: Final = 300


def _said(error: BaseException) -> str:
    """The essence of what Ray says, which is long."""
    text = " ".join(str(error).split()).partition(" Some common causes include")[0]
    for mark in ("The actor is dead because ", "The actor died because "):
        if mark in text:
            text = text[text.index(mark) :]
    return text if len(text) <= _SAID_CHARACTERS else f"{text[:_SAID_CHARACTERS]}..."
