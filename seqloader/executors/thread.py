"""The thread executor: batches computed by daemon threads of the consumer's own process.

Actors
    consumer   one thread at a time, whichever calls the executor
    worker     one thread per slot, one ticket at a time, never told to do anything but by the queue

One ticket, time going down
    consumer                           worker
    queue it, with a box      ====>    take it, and say so; not if its box is an old one
                                       batch = sequence[index]
    collect the answer        <====    put the answer into the box, say so, ring the bell

Rules
    R1  No lock is ever held: every step that both sides see is one call into C that cannot be torn
        (deque.append, deque.popleft, SimpleQueue.put), or one store. So an exception raised
        asynchronously in the consumer, between any two bytecodes, cannot leave a lock taken, as it
        can with a Condition: `with condition:` may be interrupted between taking its lock and
        having entered, and `condition.wait()` between giving the lock up and taking it back.
    R2  `wait` blocks on the bell, a lock used as a binary semaphore, and moves nothing: it rings
        after the answer is in its box, and whoever waits looks into the box first. A ring that
        was consumed and then interrupted is thus not missed.
    R3  A box is a generation of tickets. `reset` gives the exchange a new one, and only then looks
        who is at work; a worker says that it is at work, and only then looks which box is the new
        one. So what was discarded is either seen to be computed or not begun.
    R4  What still runs after a `reset` fills the old box, which nobody looks into.
    R5  A thread too many is *dismissed*: it looks for that after each answer, and when a None in
        the queue wakes it. Whoever takes a None that was meant for another hands it on, for as long
        as somebody who is dismissed waits for a ticket.
    R6  Threads refer to the exchange and never to the executor, so that dropping the executor ends
        them; each start has one of its own, which a thread stuck since before cannot disturb.

When it breaks
    sequence raises      Raised; the thread lives on
    worker_init raises   `wait` and `collect` raise WorkerStartError until `stop`
    thread stuck         `stop` returns in time; a daemon thread is left, and leaves when its
                         `__getitem__` ends

Not here: killing, respawning, `timeout_s`, seeding of global generators. Threads cannot be killed,
and have no globals of their own. Nor have they generators of their own: where a seed was given and
the Sequence holds some, these are set for each batch, and batches are computed in turn, under the
exchange's `turn`. No thread waits for it while it holds anything that the consumer could want.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import WorkerStartError
from seqloader.executors.computing import Computing
from seqloader.executors.diagnostics import Diagnostics
from seqloader.executors.local_batch import answer_with
from seqloader.memory.usage import usage_of
from seqloader.randomness.drawn_values import Noticed, Watch
from seqloader.randomness.seeding import Seeding
from seqloader.tickets import Worked

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.memory.usage import Usage
    from seqloader.tickets import Outcome, Ticket

__all__ = ["ThreadExecutor"]

_Box = deque["Outcome | Noticed"]
_Task = tuple["Ticket", _Box]

_HAND_ON_S: Final = 0.001
"""Until who was woken for another looks again: the other is a few instructions away."""


class _Exchange:
    """Where the threads of one start and the consumer meet."""

    def __init__(self, sequence: Any, seeding: Seeding, copy: bool) -> None:
        # Global generators belong to the whole process: threads would seed them for each other.
        self.seeding = Seeding(seeding.seed, reseed_globals=False)
        self.seeded = seeding.reseed_globals
        self.turn = threading.RLock()
        """Whoever computes with generators set for the batch."""
        self.version = 0
        """Of the Sequence's state."""
        self.computing = self.take_up(sequence)
        self.copy = copy
        self.queue: SimpleQueue[_Task | None] = SimpleQueue()  # None: one may leave
        self.box: _Box = deque()
        self.at_work: list[_Task | None] = []
        """For each slot, the ticket that it has, and the box for the answer; see rule R3."""
        self.starting: list[bool] = []
        self.threads: list[threading.Thread] = []
        """By slot: who is in it, or was the last."""
        self.dismissed: set[threading.Thread] = set()
        self.left: set[threading.Thread] = set()
        """Threads that have done their last work."""
        self.bell = threading.Lock()
        self.bell.acquire()
        self.woken = False
        self.ending = False
        self.failure: BaseException | None = None
        self.cpu_s: dict[threading.Thread, float] = {}
        """Of each thread so far."""

    def take_up(self, sequence: Any) -> Computing:
        self.version += 1
        return Computing(
            sequence, self.seeding, seeded=self.seeded, worker=False, version=self.version
        )

    def ring(self) -> None:
        try:
            self.bell.release()
        except RuntimeError:  # it is ringing already
            pass

    def listen(self, deadline: float) -> bool:
        """Block until the bell rings. False: the deadline came first."""
        return self.bell.acquire(timeout=_rest_s(deadline))

    def is_idle(self) -> bool:
        return all(task is None for task in self.at_work)

    # --- size -------------------------------------------------------------------------------

    def staying(self) -> list[int]:
        """Slots whose threads work on."""
        gone = self.left | self.dismissed
        return [
            slot
            for slot, thread in enumerate(self.threads)
            if thread not in gone and thread.ident is not None
        ]

    def begin(self, worker_init: Callable[[int], object] | None) -> None:
        """Start one more thread, in the first slot that is free.

        Raises:
            RuntimeError: The system has none to give.
        """
        free = (slot for slot, thread in enumerate(self.threads) if thread in self.left)
        slot = next(free, len(self.threads))
        thread = threading.Thread(
            target=self.work, args=(slot, worker_init), name=f"seqloader-{slot}", daemon=True
        )
        if slot == len(self.threads):
            self.at_work[slot:] = [None]
            self.starting[slot:] = [True]
            # Noted first, so that an interrupted start leaves no thread that `stop` does not know.
            self.threads.append(thread)
        else:
            self.starting[slot] = True
            before, self.threads[slot] = self.threads[slot], thread
            self.left.discard(before)
            self.dismissed.discard(before)
        try:
            thread.start()
        except RuntimeError as error:
            if error.__context__ is not None:
                # An exception came asynchronously into Python's wait until it runs, and tore the
                # lock of that wait: it is what should have been raised.
                raise error.__context__ from None
            self.left.add(thread)
            raise

    def dismiss(self, slots: list[int]) -> None:
        """These are to leave after what they compute."""
        for slot in slots:
            self.dismissed.add(self.threads[slot])
            self.queue.put(None)

    def is_dismissed(self) -> bool:
        """Whether the thread that asks is to leave; it was woken, or has answered."""
        return threading.current_thread() in self.dismissed

    def hand_on(self) -> None:
        """Wake somebody else, if one who is dismissed waits for a ticket."""
        leaving = self.dismissed - self.left
        slots = [slot for slot, thread in enumerate(self.threads) if thread in leaving]
        if any(self.at_work[slot] is None and not self.starting[slot] for slot in slots):
            self.queue.put(None)
            time.sleep(_HAND_ON_S)

    def end(self) -> None:
        self.ending = True
        for _ in self.threads:
            self.queue.put(None)
        self.ring()

    def raise_failure(self) -> None:
        if self.failure is not None:
            kind = type(self.failure).__name__
            raise WorkerStartError(
                f"worker_init failed in a worker thread: {kind}: {self.failure}. "
                "It runs once in each worker, before its first batch"
            ) from self.failure

    # --- in the threads ---------------------------------------------------------------------

    def work(self, slot: int, worker_init: Callable[[int], object] | None) -> None:
        """Life of one thread."""
        watch = Watch()
        try:
            if worker_init is not None:
                worker_init(slot)
            self.starting[slot] = False
            while not (self.ending or (self.dismissed and self.is_dismissed())):
                if (taken := self.queue.get()) is not None:
                    self.answer(slot, taken, watch)
                elif not (self.ending or self.is_dismissed()):
                    self.hand_on()
                # A waiting thread must not keep alive what lies forgotten in an old box.
                del taken
        except BaseException as error:
            self.failure = error
        finally:
            self.left.add(threading.current_thread())
            self.ring()

    def answer(self, slot: int, task: _Task, watch: Watch) -> None:
        ticket, box = self.at_work[slot] = task
        try:
            if box is self.box:
                compute = partial(self.compute, box, watch)
                # No variable holds the answer: an error's traceback refers to this frame, and they
                # would be a cycle.
                box.append(answer_with(compute, ticket, slot, self.copy))
        finally:
            self.cpu_s[threading.current_thread()] = time.thread_time()
            self.at_work[slot] = None
            self.ring()

    def compute(self, box: _Box, watch: Watch, ticket: Ticket) -> Any:
        computing = self.computing
        with self.turn if computing.takes_turns else contextlib.nullcontext():
            batch = computing.compute(ticket, watch)
        while watch.noticed:
            box.append(watch.noticed.pop())
        return batch


class ThreadExecutor(Diagnostics):
    """Computes tickets in threads: cheap to start, and parallel where `__getitem__` leaves the GIL.

    Args:
        workers: How many threads.
        copy: Whether batches get memory of their own. Else they are the very objects that
            `__getitem__` returned, and may be views of the Sequence's arrays.
        worker_init: Called once in each thread, with its slot, before its first batch. A thread
            that is started while another is leaving, after `resize`, has a slot beyond `workers`.
    """

    _exchange: _Exchange | None = None
    """None also in an object whose construction was interrupted: its finalizer asks."""
    _worked = Worked()
    """Until the last stop."""

    def __init__(
        self,
        workers: int,
        *,
        copy: bool = False,
        worker_init: Callable[[int], object] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"a thread executor needs at least one worker, not {workers}")
        self.workers = workers
        self._copy = copy
        self._worker_init = worker_init

    def start(self, sequence: Any, seeding: Seeding) -> None:
        """Start the threads. The Sequence is used as it is, by all of them."""
        assert self._exchange is None, "started twice"
        exchange = self._exchange = _Exchange(sequence, seeding, self._copy)
        self._fit(exchange, self.workers)

    def resize(self, workers: int, tickets_ahead: int) -> None:
        """Start others beside those at work, or let those too many leave after their batch."""
        if (exchange := self._exchange) is not None:
            self._fit(exchange, workers)
        self.workers = workers

    def _fit(self, exchange: _Exchange, workers: int) -> None:
        staying = exchange.staying()
        exchange.dismiss(staying[workers:])
        for count in range(len(staying), workers):
            try:
                exchange.begin(self._worker_init)
            except RuntimeError as error:
                self.stop(timeout_s=1.0)
                raise WorkerStartError(
                    f"only {count} of {workers} threads could be started: {error}"
                ) from error

    def usage(self) -> dict[int, Usage | None]:
        """What each thread uses, by its number in the system; its memory is the process's."""
        if (exchange := self._exchange) is None:
            return {}
        threads = [exchange.threads[s] for s in exchange.staying() if not exchange.starting[s]]
        found: dict[int, Usage | None] = {}
        for thread in threads:
            usage = usage_of(f"/proc/self/task/{thread.native_id}")
            found[thread.native_id or 0] = usage and usage._replace(private_bytes=0)
        return found

    def submit(self, ticket: Ticket) -> None:
        exchange = self._started()
        exchange.queue.put((ticket, exchange.box))

    def wait(self, timeout_s: float | None) -> None:
        exchange = self._started()
        deadline = _deadline(timeout_s)
        while not (exchange.box or exchange.woken or exchange.failure or exchange.ending):
            if not exchange.listen(deadline):
                return
        exchange.woken = False
        exchange.raise_failure()

    def collect(self) -> list[Outcome | Noticed]:
        exchange = self._started()
        exchange.raise_failure()
        return [exchange.box.popleft() for _ in range(len(exchange.box))]

    def alarmed(self) -> bool:
        """Whether a `worker_init` has failed."""
        return self._started().failure is not None

    def load(self, sequence: Any, *, in_place: bool) -> None:
        """Use `sequence` from now on; its state is the threads' own anyway."""
        exchange = self._started()
        if in_place or not exchange.computing.is_of(sequence):
            exchange.computing = exchange.take_up(sequence)

    def discard(self, timeout_s: float | None = None) -> bool:
        """Drop what has not begun, and wait for what has, of earlier generations too."""
        self.reset()
        if (exchange := self._exchange) is None:
            return True
        deadline = _deadline(timeout_s)
        while not (exchange.ending or exchange.woken or exchange.is_idle()):
            if not exchange.listen(deadline):
                return False
        return True

    def reset(self) -> None:
        """Forget all tickets. What is being computed goes on, and nobody hears of it."""
        if (exchange := self._exchange) is not None:
            exchange.box = deque()

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """To be held by who computes a batch beside the threads, with generators set for it."""
        return self._started().turn

    def takes_turns(self) -> bool:
        """Whether the threads compute one at a time: for the generators that they share."""
        return self._started().computing.takes_turns

    def worked(self) -> Worked:
        """What computing has taken the threads since the last start."""
        if (exchange := self._exchange) is None:
            return self._worked
        return Worked(sum(exchange.cpu_s.copy().values()))

    def holder(self, ticket: Ticket) -> tuple[int, int] | None:
        """(slot, our own process id) of the thread that computes a ticket."""
        if (exchange := self._exchange) is not None:
            for slot, task in enumerate(exchange.at_work):
                if task is not None and task[0] == ticket and task[1] is exchange.box:
                    return slot, os.getpid()
        return None

    def busy(self) -> list[str]:
        """Which threads compute something, of earlier generations too, or are not ready yet."""
        if (exchange := self._exchange) is None:
            return []
        found = []
        for slot, thread in enumerate(exchange.threads):
            task = exchange.at_work[slot]
            if thread.ident is None:
                continue  # its start was interrupted
            if exchange.starting[slot]:
                found.append(f"worker thread {slot} is still starting")
            elif task is not None:
                ticket, _ = task
                found.append(
                    f"worker thread {slot} computes batch {ticket.index} (epoch {ticket.epoch})"
                )
        return found

    def wake(self) -> None:
        """Make a blocked `wait` return, or else the next one."""
        if (exchange := self._exchange) is not None:
            exchange.woken = True
            exchange.ring()

    def kill(self) -> None:
        """Begin nothing any more. A thread that computes cannot be cut short."""
        if (exchange := self._exchange) is not None:
            exchange.end()

    def stop(self, timeout_s: float) -> None:
        """End the threads, waiting at most `timeout_s` for what they compute."""
        if (exchange := self._exchange) is None:
            return
        deadline = _deadline(timeout_s)
        exchange.end()
        # User code may call stop() from a worker; and an interrupted start() may have left a
        # thread that never ran, whose ident is None.
        here = threading.current_thread()
        others = [t for t in exchange.threads if t is not here and t.ident is not None]
        # Waited for by the bell, since Python 3.11 takes a thread for ended whose join() Ctrl-C cut
        # short. The joins below find threads in their last few instructions.
        while not exchange.left.issuperset(others) and exchange.listen(deadline):
            pass
        for thread in exchange.left.intersection(others):
            thread.join(_rest_s(deadline))
        self._worked = self.worked()
        self._exchange = None

    def abandon(self) -> None:
        """Tell the threads to end, and forget them."""
        # Of the exchange's calls none can block, also in a forked child, which has no such threads.
        self.kill()
        self._worked = self.worked()
        self._exchange = None

    def check(self) -> None:
        """Assert what holds at any time."""
        if (exchange := self._exchange) is not None:
            assert len(exchange.at_work) >= len(exchange.threads) <= len(exchange.starting)
            if not (exchange.failure or exchange.ending):
                assert len(exchange.staying()) == self.workers, exchange.threads
            for thread, task in zip(exchange.threads, exchange.at_work, strict=False):
                assert thread not in exchange.left or task is None, thread

    def __del__(self) -> None:
        self.abandon()

    def _started(self) -> _Exchange:
        if self._exchange is None:
            raise RuntimeError("the thread executor is not running: call start() first")
        return self._exchange


def _deadline(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def _rest_s(deadline: float) -> float:
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
