"""Started, stopped, entered, torn and mended: what is the same whatever the calls are about.

Actors
    consumer   whoever is inside a call that takes the lock
    stopper    `stop()` in another thread, a signal handler or a finalizer

Rules
    R1  Every step that changes something runs between `_torn = True` and `_torn = False`; the
        wait does not. An error that leaves a torn step stops everything (R6). Who enters and finds
        `_torn` set was preceded by an exception that came asynchronously, or by one that looks as
        if it had (a KeyboardInterrupt that user code raises): it resets the executor and goes on
        after the last batch delivered.
    R2  `stop()` says that it is there, sets its flag, and only then reads which executor runs; a
        start takes the flag down, names its executor, and only then looks whether a `stop()` is
        there. So either it is stopped, or the `stop()` wakes the executor that runs. It does so
        before it asks for the lock; the woken consumer leaves the cleaning up to it. Re-entered
        (signal handler, hook) it only sets the flag and kills, and whoever was interrupted cleans
        up.
    R3  Finalizers never run hooks, wait or raise.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from seqloader.errors import (
    ENDINGS,
    ERRORS,
    EnqueuerStopped,
    ForkedEnqueuerError,
    SeqloaderWarning,
    as_raisable,
    call_users,
)
from seqloader.randomness.context import Seeding
from seqloader.randomness.drawn_orders import draw_orders
from seqloader.run import messages
from seqloader.run.options import (
    checked_queue_size,
    checked_timeout,
    checked_workers,
    without_effect,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.executors.protocol import Executor
    from seqloader.run.options import Options

__all__ = ["ERROR_STOP_TIMEOUT_S", "Lifecycle"]

Result = TypeVar("Result")

STOP_TIMEOUT_S = 5.0
ERROR_STOP_TIMEOUT_S = 1.0
"""`stop` after an error: idle workers need some milliseconds to leave; nobody waits for others."""


_users: dict[int, weakref.ref[Lifecycle]] = {}
"""id of an executor -> for whom it runs: users may bring their own, and bring it twice. Whoever it
runs for keeps it alive, so that nothing else has its id meanwhile."""


class Lifecycle:
    """One Sequence and one executor at a time. What goes on between them is the subclass's."""

    def __init__(self, sequence: Any, options: Options) -> None:
        self.sequence = sequence
        self.options = options
        self.workers = options.workers
        self.max_queue_size = _queue_size(self.workers, options.max_queue_size)
        _warn_of_misfits(options, self.workers, options.max_queue_size)
        self._seeding = Seeding(options.seed, options.seeded)
        self._started_with = self._seeding
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._torn = False
        self._stopping = False
        self._stoppers: set[int] = set()
        """Threads whose `stop()` waits for the lock, or is about to."""
        self._run = 0
        """Counts starts."""
        self._executor: Executor | None = None

    def _forget(self) -> None:
        """The executor has stopped: nothing is under way any more."""

    def _spoil(self) -> None:
        """A step was torn, and is not mended: what is under way may lack something."""

    def _complete(self) -> None:
        """A step was torn: do what is left of it, if it is made."""

    def _resume(self) -> None:
        """The executor was reset: issue again what was not handed over."""

    def _due_end(self) -> Callable[[], object]:
        """What is due at the end, if this thread's own `stop()` brings it; run after `_forget`."""
        return _nothing

    @property
    def epoch(self) -> int:
        """Number of the epoch under way; between epochs, of the coming one."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._executor is not None and not self._stopping

    # --- start and stop -------------------------------------------------------------------

    def start(self, workers: int | None = None, max_queue_size: int | None = None) -> None:
        """Launch the workers and send them the Sequence. Runs no hook.

        Args:
            workers: None takes the constructor's value.
            max_queue_size: None takes the constructor's value.
        """
        self._check_entry()
        with self._lock:
            self._inside(lambda: self._start_with(workers, max_queue_size))

    def _start_with(self, workers: int | None, max_queue_size: int | None) -> None:
        if self._executor is not None and not self._stopping:
            if workers is None and max_queue_size is None:
                return
            raise RuntimeError("the enqueuer is running already: stop() it before start()")
        self._shut_down(ERROR_STOP_TIMEOUT_S)  # what a stop elsewhere left half done
        options = self.options
        given = checked_queue_size(max_queue_size) or options.max_queue_size
        count = options.workers if workers is None else workers
        count = checked_workers(count, options.executor)
        if workers is not None or max_queue_size is not None:
            _warn_of_misfits(options, count, given)
        self.workers = count
        self.max_queue_size = _queue_size(count, given)
        self._start()

    def _start(self) -> None:
        executor = self.options.make_executor(self.workers, self.max_queue_size)
        user = _users.get(id(executor))
        if user is not None and user() not in (None, self):
            raise RuntimeError(
                f"{executor!r} is in use by another enqueuer that runs: each needs one of its own"
            )
        self._settle_order()  # the first state is taken here, and a fork inherits it
        self._torn = True
        self._stopping = False
        # Assigned before it starts: whatever interrupts the start, it can be stopped.
        self._executor = executor
        if self._stoppers:  # the flag just taken down may have been theirs (R2)
            self._stopping = True
        try:
            # Only now that it is kept alive: its id would be given to another executor.
            _users[id(executor)] = weakref.ref(self)
            self._run += 1
            self._started_with = self._seeding
            executor.start(self.sequence, self._seeding)
        except BaseException:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False
        if self._stopping:  # by a signal handler, in the middle
            self._give_way()

    def _settle_order(self, *, begins: bool = False) -> None:
        """Have orders drawn that each worker would else draw for itself."""
        draw_orders(self.sequence, self._seeding, self.epoch, begins=begins)

    def stop(self, timeout: float | None) -> None:
        """End everything; in the consumer's own thread the epoch too, hook included."""
        self._stop(STOP_TIMEOUT_S if timeout is None else checked_timeout(timeout), hooks=True)

    def stop_after_error(self) -> None:
        """As `stop`, soon and without hooks."""
        self._stop(ERROR_STOP_TIMEOUT_S, hooks=False)

    def _stop(self, timeout_s: float, *, hooks: bool) -> None:
        if os.getpid() != self._pid:
            if self._executor is not None:
                self._executor.abandon()
            return
        deadline = time.monotonic() + timeout_s
        me = threading.get_ident()
        inside = self._owns_lock()  # a signal handler or a hook: whoever was interrupted cleans up
        try:
            if not inside:
                self._stoppers.add(me)
            self._stopping = True
            executor = self._executor  # after the flag (R2)
            if executor is None:
                return
            executor.wake()
            if inside:
                executor.kill()
                return
            if not self._lock.acquire(timeout=timeout_s):
                self._kill()
                return
            end = self._due_end() if hooks and not self._torn else _nothing
            self._shut_down(max(0.0, deadline - time.monotonic()))
            end()
        finally:
            if not inside:
                self._stoppers.discard(me)
                if self._owns_lock():
                    self._lock.release()

    def _kill(self) -> None:
        executor = self._executor  # not the one that was woken: it may have been replaced since
        if executor is not None:
            executor.kill()

    def _give_way(self) -> None:
        """`stop()` was called: clean up, unless it waits for the lock to do so in its own time."""
        if not self._stoppers:
            self._shut_down(ERROR_STOP_TIMEOUT_S)

    def _shut_down(self, timeout_s: float) -> None:
        """Stop the executor and forget what was under way. From any state."""
        executor = self._executor
        if executor is None:
            return
        if self._torn:
            self._spoil()
        self._torn = True
        self._stopping = True
        call_users("executor.stop()", executor.stop, timeout_s)
        self._forget()
        _users.pop(id(executor), None)
        self._executor = None
        self._torn = False

    def __del__(self) -> None:
        executor = self.__dict__.get("_executor")
        if executor is not None:
            with contextlib.suppress(BaseException):
                executor.abandon()

    # --- entering -------------------------------------------------------------------------

    def _check_entry(self) -> None:
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
        owned: bool = self._lock._is_owned()  # type: ignore[attr-defined]
        return owned

    def _enter(self) -> int:
        """First act under the lock. (`with lock:` is safe from asynchronous exceptions, a context
        manager of our own would not be.)"""
        if self._torn:
            self._mend()
        return threading.get_ident()

    def _inside(self, act: Callable[[], Result]) -> Result:
        """Do what a call is about, under the lock. (Batches are asked for without this step.)"""
        try:
            self._enter()
            return act()
        except BaseException as error:
            self._leave(error)
            raise

    def _leave(self, error: BaseException) -> None:
        """An exception leaves a call. A step that an error tore is not mended but stopped; one that
        user code raised is not to be read as an end by whoever called."""
        if self._torn and isinstance(error, ERRORS):
            if self._stopping:
                self._give_way()
            else:
                self._shut_down(ERROR_STOP_TIMEOUT_S)
        if isinstance(error, ENDINGS):
            raise as_raisable(error) from error

    def _mend(self) -> None:
        """Go on after an exception that came asynchronously inside a step."""
        self._complete()
        executor = self._executor
        if executor is None:
            self._torn = False
            return
        if self._stopping:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            return
        try:
            executor.reset()
            self._resume()
        except Exception:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
            raise
        self._torn = False

    def _be_running(self) -> None:
        if self._stopping:
            self._shut_down(ERROR_STOP_TIMEOUT_S)
        if self._executor is None:
            self._start()
        if self._executor is None or self._stopping:
            raise EnqueuerStopped("stop() was called while the enqueuer started")


def _nothing() -> None:
    pass


def _queue_size(workers: int, given: int | None) -> int:
    return max(10, 2 * workers) if given is None else given


def _warn_of_misfits(options: Options, workers: int, given: int | None) -> None:
    if given is not None and given < workers:
        messages.issue(SeqloaderWarning(messages.idle_warning(workers, given)))
    if names := without_effect(options, workers):
        messages.issue(SeqloaderWarning(messages.no_workers_warning(names)))
