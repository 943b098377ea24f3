"""A session: one executor at a time, started, stopped, entered, torn and mended.

It knows nothing of epochs and batches. What runs in it is its guest's (guest.py).

Actors
    consumer   whoever is inside a call that takes the lock
    stopper    `stop()` in another thread, a signal handler or a finalizer

Rules
    R1  Every step that changes something runs between `step()` and `done()`; the wait does not. An
        error that leaves a torn step stops everything (R6 of epochs.py). Who enters and finds a
        torn state was preceded by an exception that came asynchronously, or by one that looks as if
        it had (a KeyboardInterrupt that user code raises): it resets the executor and goes on after
        the last batch delivered.
    R2  `stop()` says that it is there, sets its flag, and only then reads which executor runs; a
        start takes the flag down, names its executor, and only then looks whether a `stop()` is
        there. So either it is stopped, or the `stop()` wakes the executor that runs. It does so
        before it asks for the lock; the woken consumer leaves the cleaning up to it. Re-entered
        (signal handler, hook) it only sets the flag and kills, and whoever was interrupted cleans
        up.
    R3  Finalizers never run hooks, wait or raise.

The states, and what leads from one to another, are in states.py. `stopping` is none of them: any
thread or signal handler sets it at any instant, and a state that the consumer stores in the same
instant would undo it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, TypeVar, cast

from seqloader.errors import (
    ENDINGS,
    ERRORS,
    EnqueuerStopped,
    ForkedEnqueuerError,
    as_raisable,
    call_users,
)
from seqloader.executors.protocol import Resizable
from seqloader.run.checks import checked_timeout
from seqloader.run.options import check_resizable, checked_size
from seqloader.run.sizing import Sizing
from seqloader.run.states import DONE, SESSION, STEP, TORN, SessionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.executors.protocol import Executor
    from seqloader.randomness.seeding import Seeding
    from seqloader.run.guest import Guest
    from seqloader.run.options import AutoInt, Options

__all__ = ["ERROR_STOP_TIMEOUT_S", "Session"]

Result = TypeVar("Result")

STOP_TIMEOUT_S = 5.0
ERROR_STOP_TIMEOUT_S = 1.0
"""`stop` after an error: idle workers need some milliseconds to leave; nobody waits for others."""

_users: dict[int, weakref.ref[Session]] = {}
"""id of an executor -> for whom it runs: users may bring their own, and bring it twice. Whoever it
runs for keeps it alive, so that nothing else has its id meanwhile."""


class Session:
    """One executor at a time, for one guest.

    The guest is referred to weakly: it has the session, and whoever drops the guest drops both at
    once, without a garbage collection. Where both are part of garbage that is being collected, the
    reference is gone before the finalizers run, such as the end of a generator that has an enqueuer
    in a `with`: then the executor is abandoned (R3).
    """

    def __init__(self, guest: Guest, options: Options) -> None:
        self.options = options
        self.size = Sizing(options)
        self.state = SessionState.IDLE
        self.executor: Executor | None = None
        self.started_with: Seeding | None = None
        """What the workers that run draw their random numbers from."""
        self._fitted: tuple[int, int] | None = None
        """Workers and queue that the executor knows of; None: an interrupt left that open."""
        self.starts = 0
        self.stopping = False
        self.lock = threading.RLock()
        self._guest = weakref.ref(guest)
        self._pid = os.getpid()
        self._stoppers: set[int] = set()
        """Threads whose `stop()` waits for the lock, or is about to."""

    @property
    def guest(self) -> Guest:
        """What runs here."""
        guest = self._guest()
        if guest is None:
            raise EnqueuerStopped("the enqueuer is garbage, and is being collected")
        return guest

    @property
    def workers(self) -> int:
        """How many there are, or are to be at the next start; 0: the consumer computes."""
        return self.size.workers

    @property
    def max_queue_size(self) -> int:
        """Batches ahead of the consumer, at most."""
        return self.size.queue

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self.executor is not None and not self.stopping

    @property
    def is_torn(self) -> bool:
        """Whether a step is under way, or was interrupted."""
        return self.state in TORN

    def becomes(self, event: str) -> None:
        """Something has happened to it: see states.py."""
        self.state = SESSION[event][self.state]

    def step(self) -> None:
        """A step that changes something begins."""
        self.state = STEP[self.state]

    def done(self) -> None:
        """It has ended."""
        self.state = DONE[self.state]

    def check(self) -> None:
        """Assert what holds between any two calls; torn or not."""
        state, executor = self.state, self.executor
        if state in (SessionState.IDLE, SessionState.PLACING):
            assert executor is None, f"{state} with {executor!r}"
        elif state in (SessionState.RUNNING, SessionState.STEPPING):
            assert executor is not None, f"{state} without an executor"
        user = None if executor is None else _users.get(id(executor))
        assert user is None or user() is self, "the executor runs for another session"

    # --- start and stop -------------------------------------------------------------------

    def start(self, workers: AutoInt | None = None, max_queue_size: AutoInt | None = None) -> None:
        """Launch the workers and send them the Sequence. Runs no hook.

        Args:
            workers: None takes the constructor's value, or that of the last `resize`.
            max_queue_size: None takes the constructor's value.
        """
        self.call(lambda: self._start_with(workers, max_queue_size))

    def _start_with(self, workers: AutoInt | None, max_queue_size: AutoInt | None) -> None:
        if self.is_running:
            if workers is None and max_queue_size is None:
                return
            raise RuntimeError("the enqueuer is running already: stop() it before start()")
        self.shut_down()  # what a stop elsewhere left half done
        self.size.ask(workers, max_queue_size)
        self._start()

    def _start(self) -> None:
        try:
            self._start_executor()
        except BaseException:
            self.size.end()
            raise

    def _start_executor(self) -> None:
        self._fitted = self.size.begin()
        executor = self.options.make_executor(*self._fitted)
        user = _users.get(id(executor))
        if user is not None and user() not in (None, self):
            raise RuntimeError(
                f"{executor!r} is in use by another enqueuer that runs: each needs one of its own"
            )
        guest = self.guest
        guest.prepare()
        self.becomes("start")
        self.stopping = False
        # Assigned before it starts: whatever interrupts the start, it can be stopped.
        self.executor = executor
        if self._stoppers:  # the flag just taken down may have been theirs (R2)
            self.stopping = True
        try:
            # Only now that it is kept alive: its id would be given to another executor.
            _users[id(executor)] = weakref.ref(self)
            self.starts += 1
            seeding = self.started_with = guest.seeding
            executor.start(guest.sequence, seeding)
        except BaseException:
            self.shut_down()
            raise
        self.becomes("started")
        guest.started()
        if self.stopping:  # by a signal handler, in the middle
            self.give_way()

    def resize(self, workers: int) -> None:
        """So many workers from now on, in mid-epoch too; where none run, from the next start on."""
        self.call(lambda: self._resize(workers))

    def _resize(self, workers: int) -> None:
        count = checked_size(workers, self.options.executor)
        executor, size = self.executor, self.size
        if executor is None or self.stopping:
            self._resize_later(count)
            return
        check_resizable(executor, size.workers, count)
        size.warn_if_idle(count)
        size.decide_by_hand()
        self.tune(count, size.suits(count))

    def tune(self, workers: int, max_queue_size: int) -> None:
        """Have so many workers and batches ahead from now on, in mid-epoch too."""
        assert self.executor is not None
        self.step()
        self.size.become(workers, max_queue_size)
        self._fit(self.executor)
        self.guest.resized()
        self.done()
        if self.stopping:  # by a signal handler, in the middle
            self.give_way()

    def _resize_later(self, count: int) -> None:
        queue, own = self.size.suits(count), self.options.executor
        if not isinstance(own, str):  # the user's, which is started with as many as it has
            check_resizable(own, own.workers, count)
            cast("Resizable", own).resize(count, queue)
        self.size.become(count, queue)
        self.size.decide_by_hand()

    def _fit(self, executor: Executor) -> None:
        size = self.workers, self.max_queue_size
        if isinstance(executor, Resizable) and self._fitted != size:
            self._fitted = None
            executor.resize(*size)
            self._fitted = size

    def restart(self) -> None:
        """Other workers, in the same session."""
        starts = self.starts
        self.shut_down()
        self._start()
        self.starts = starts

    def stop(self, timeout: float | None) -> None:
        """End everything; in the consumer's own thread the epoch too, hook included."""
        self._stop(STOP_TIMEOUT_S if timeout is None else checked_timeout(timeout), hooks=True)

    def stop_after_error(self) -> None:
        """As `stop`, soon and without hooks."""
        self._stop(ERROR_STOP_TIMEOUT_S, hooks=False)

    def _stop(self, timeout_s: float, *, hooks: bool) -> None:
        if os.getpid() != self._pid or self._guest() is None:
            if self.executor is not None:
                self.executor.abandon()
            return
        deadline = time.monotonic() + timeout_s
        me = threading.get_ident()
        inside = self._owns_lock()  # a signal handler or a hook: whoever was interrupted cleans up
        try:
            if not inside:
                self._stoppers.add(me)
            self.stopping = True
            executor = self.executor  # after the flag (R2)
            if executor is None:
                return
            executor.wake()
            if inside:
                executor.kill()
                return
            if not self.lock.acquire(timeout=timeout_s):
                self._kill()
                return
            end = self.guest.ending() if hooks and not self.is_torn else None
            self.shut_down(max(0.0, deadline - time.monotonic()))
            if end is not None:
                end()
        finally:
            if not inside:
                self._stoppers.discard(me)
                if self._owns_lock():
                    self.lock.release()

    def _kill(self) -> None:
        executor = self.executor  # not the one that was woken: it may have been replaced since
        if executor is not None:
            executor.kill()

    def give_way(self) -> None:
        """`stop()` was called: clean up, unless it waits for the lock to do so in its own time."""
        if not self._stoppers:
            self.shut_down()

    def shut_down(self, timeout_s: float = ERROR_STOP_TIMEOUT_S) -> None:
        """Stop the executor and forget what was under way. From any state."""
        executor = self.executor
        if executor is None:
            return
        guest = self.guest
        if self.is_torn:
            guest.spoil()
        self.stopping = True  # first: one that is closing and not stopping would be mended
        self.becomes("close")
        call_users("executor.stop()", executor.stop, timeout_s)
        self.size.end()
        guest.forget()
        _users.pop(id(executor), None)
        self.executor = None
        self.becomes("closed")

    def __del__(self) -> None:
        executor = self.__dict__.get("executor")
        if executor is not None:
            with contextlib.suppress(BaseException):
                executor.abandon()

    # --- entering -------------------------------------------------------------------------

    def call(self, act: Callable[[], Result]) -> Result:
        """Do what a call of the enqueuer is about. (Batches are asked for without this step.)"""
        self.check_entry()
        with self.lock:
            try:
                self.enter()
                return act()
            except BaseException as error:
                self.leave(error)
                raise

    def check_entry(self) -> None:
        """Refuse calls from a forked child, and from inside another call."""
        if os.getpid() != self._pid:
            raise ForkedEnqueuerError(
                "this enqueuer belongs to the process that made it; a forked child has no "
                "part in its workers. Make another one in the child"
            )
        if self._owns_lock():
            raise RuntimeError(
                "the enqueuer was entered again from inside one of its own calls (a hook, a "
                "signal handler, or __getitem__ in the consumer); only stop() and stats() may be"
            )

    def _owns_lock(self) -> bool:
        owned: bool = self.lock._is_owned()  # type: ignore[attr-defined]
        return owned

    def enter(self) -> int:
        """First act under the lock. (`with lock:` is safe from asynchronous exceptions, a context
        manager of our own would not be.)"""
        if self.state in TORN:
            self._mend()
        return threading.get_ident()

    def leave(self, error: BaseException) -> None:
        """An exception leaves a call. A step that an error tore is not mended but stopped; one that
        user code raised is not to be read as an end by whoever called."""
        if self.is_torn and isinstance(error, ERRORS):
            if self.stopping:
                self.give_way()
            else:
                self.shut_down()
        if isinstance(error, ENDINGS):
            raise as_raisable(error) from error

    def _mend(self) -> None:
        """Go on after an exception that came asynchronously inside a step."""
        guest = self.guest
        guest.complete()
        executor = self.executor
        if executor is None:
            self.becomes("closed")
            return
        if self.stopping:
            self.shut_down()
            return
        try:
            executor.reset()
            self._fit(executor)  # it may have been resizing
            guest.resume()
            guest.resized()
        except Exception:
            self.shut_down()
            raise
        self.becomes("mended")

    def be_running(self) -> None:
        """Start, unless it runs."""
        if self.stopping:
            self.shut_down()
        if self.executor is None:
            self._start()
        if self.executor is None or self.stopping:
            raise EnqueuerStopped("stop() was called while the enqueuer started")
