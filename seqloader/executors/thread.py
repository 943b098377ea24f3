"""The thread executor: batches computed by daemon threads of the consumer's own process.

Actors
    consumer   one thread at a time, whichever calls the executor
    worker     one thread per slot, one task at a time, never told to do anything but by the queue

One task, time going down
    consumer                           worker
    note the task, queue it   ====>    take it; claim it, or drop it where the consumer was first
                                       batch = sequence[index]
    collect the answer        <====    put the answer into the task's box, mark the task ended,
                                       ring the bell

Rules
    R1  No lock is ever held: every step that both sides see is one call into C that cannot be torn
        (deque.append, deque.popleft, dict.setdefault, SimpleQueue.put). So an exception raised
        asynchronously in the consumer, between any two bytecodes, cannot leave a lock taken, as it
        can with a Condition: `with condition:` may be interrupted between taking its lock and
        having entered, and `condition.wait()` between giving the lock up and taking it back.
    R2  `wait` blocks on the bell, a lock used as a binary semaphore, and moves nothing: it rings
        after the answer is in its box, and whoever waits looks into the box first. A ring that
        was consumed and then interrupted is thus not missed.
    R3  Whoever claims a task first has it, for good: a task claimed by the consumer is never run.
        Only tasks that a worker claimed and has not ended can be in work.
    R4  A generation of tasks is its box. `reset` opens a new one; what still runs fills the old.
    R5  Threads refer to the crew and never to the executor, so that dropping the executor ends
        them; each start has a crew of its own, which a thread stuck since before cannot disturb.

When it breaks
    sequence raises      Raised; the thread lives on
    worker_init raises   `wait` and `collect` raise WorkerStartError until `stop`
    thread stuck         `stop` returns in time; a daemon thread is left, and leaves when its
                         `__getitem__` ends

Not here: killing, respawning, `timeout_s`, seeding of global generators. Threads cannot be killed,
and have no globals of their own. Nor have they generators of their own: where a seed was given and
the Sequence holds some, these are set for each batch, and batches are computed in turn, under the
crew's `turn`. No thread waits for it while it holds anything that the consumer could want.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import WorkerStartError, as_raisable
from seqloader.executors.computing import Computing
from seqloader.executors.local_batch import LocalBatch, private_copy
from seqloader.randomness.drawn_values import Noticed, Watch
from seqloader.tickets import Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from seqloader.randomness.context import Seeding
    from seqloader.tickets import Outcome, Ticket

__all__ = ["ThreadExecutor"]

_CONSUMER: Final = "consumer"
_WORKER: Final = "worker"


class _Task:
    """A ticket on its way through the threads."""

    __slots__ = ("_owner", "box", "ended", "ticket")

    def __init__(self, ticket: Ticket, box: _Box) -> None:
        self.ticket = ticket
        self.box = box
        self.ended = False
        self._owner: dict[None, str] = {}

    def claim(self, claimant: str) -> bool:
        """Whether the task is the claimant's; asking again gives the same answer."""
        return self._owner.setdefault(None, claimant) is claimant


_Box = deque[tuple[_Task, "Outcome | Noticed"]]


class _Crew:
    """What the threads of one start share with the consumer."""

    def __init__(self, sequence: Any, seeding: Seeding, copy: bool) -> None:
        # Global generators belong to the whole process: threads would seed them for each other.
        self.seeding = replace(seeding, reseed_globals=False)
        self.seeded = seeding.reseed_globals
        self.turn = threading.RLock()
        """Whoever computes with generators set for the batch."""
        self.version = 0
        """Of the Sequence's state."""
        self.computing = self.take_up(sequence)
        self.copy = copy
        self.queue: SimpleQueue[_Task | None] = SimpleQueue()  # None: a thread may leave
        self.box: _Box = deque()
        self.open: set[_Task] = set()
        """Tasks not collected, and tasks of earlier generations that may still be in work."""
        self.threads: list[threading.Thread] = []
        self.left: set[threading.Thread] = set()
        """Threads that have done their last work."""
        self.bell = threading.Lock()
        self.bell.acquire()
        self.woken = False
        self.ending = False
        self.failure: BaseException | None = None

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

    def listen(self, deadline: float | None) -> bool:
        """Block until the bell rings. False: the deadline came first."""
        if deadline is None:
            return self.bell.acquire()
        return self.bell.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def end(self) -> None:
        self.ending = True
        for _ in self.threads:
            self.queue.put(None)
        self.ring()


class ThreadExecutor:
    """Computes tickets in threads: cheap to start, and parallel where `__getitem__` leaves the GIL.

    Args:
        workers: How many threads.
        copy: Whether batches get memory of their own. Else they are the very objects that
            `__getitem__` returned, and may be views of the Sequence's arrays.
        worker_init: Called once in each thread, with its slot, before its first batch.
    """

    _crew: _Crew | None = None
    """None also in an object whose construction was interrupted: its finalizer asks."""

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
        assert self._crew is None, "started twice"
        crew = self._crew = _Crew(sequence, seeding, self._copy)
        for slot in range(self.workers):
            thread = threading.Thread(
                target=_work,
                args=(crew, slot, self._worker_init),
                name=f"seqloader-{slot}",
                daemon=True,
            )
            # Noted first, so that an interrupted start leaves no thread that `stop` does not know.
            crew.threads.append(thread)
            try:
                thread.start()
            except RuntimeError as error:
                crew.threads.remove(thread)
                self.stop(timeout_s=1.0)
                raise WorkerStartError(
                    f"only {slot} of {self.workers} threads could be started: {error}"
                ) from error

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket."""
        crew = self._started()
        task = _Task(ticket, crew.box)
        # Noted before it is queued: torn here, it is never run, and `reset` claims it.
        crew.open.add(task)
        crew.queue.put(task)

    def wait(self, timeout_s: float | None) -> None:
        """Block until a thread has answered, `wake()` was called, or time is up."""
        crew = self._started()
        deadline = None if timeout_s is None else _deadline(timeout_s)
        while not (crew.box or crew.woken or crew.failure or crew.ending):
            if not crew.listen(deadline):
                return
        crew.woken = False
        _raise_failure(crew)

    def collect(self) -> Iterable[Outcome | Noticed]:
        """Hand out what the threads have answered."""
        crew = self._started()
        _raise_failure(crew)
        outcomes = []
        for _ in range(len(crew.box)):
            task, outcome = crew.box.popleft()
            if not isinstance(outcome, Noticed):
                crew.open.discard(task)
            outcomes.append(outcome)
        return outcomes

    def alarmed(self) -> bool:
        """Whether a `worker_init` has failed."""
        return self._started().failure is not None

    def load(self, sequence: Any, *, in_place: bool) -> None:
        """Use `sequence` from now on; its state is the threads' own anyway."""
        crew = self._started()
        before = crew.computing
        if in_place or not before.is_of(sequence):
            crew.computing = crew.take_up(sequence)

    def discard(self, timeout_s: float | None = None) -> bool:
        """Drop what has not begun, and wait for what has, of earlier generations too."""
        self.reset()
        if (crew := self._crew) is None:
            return True
        deadline = None if timeout_s is None else _deadline(timeout_s)
        while not (crew.ending or crew.woken or all(task.ended for task in crew.open)):
            if not crew.listen(deadline):
                return False
        if all(task.ended for task in crew.open):
            crew.open.clear()
        return True

    def reset(self) -> None:
        """Forget all tickets. What is being computed goes on, and nobody hears of it."""
        if (crew := self._crew) is None:
            return
        crew.box = deque()
        # One store at the end: torn before it, the next reset comes to the same result.
        crew.open = {task for task in crew.open if not (task.claim(_CONSUMER) or task.ended)}

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """To be held by who computes a batch beside the threads, with generators set for it."""
        return self._started().turn

    def takes_turns(self) -> bool:
        """Whether the threads compute one at a time: for the generators that they share."""
        return bool(self._started().computing.held)

    def wake(self) -> None:
        """Make a blocked `wait` return, or else the next one."""
        if (crew := self._crew) is not None:
            crew.woken = True
            crew.ring()

    def kill(self) -> None:
        """Begin nothing any more. A thread that computes cannot be cut short."""
        if (crew := self._crew) is not None:
            crew.end()

    def stop(self, timeout_s: float) -> None:
        """End the threads, waiting at most `timeout_s` for what they compute."""
        if (crew := self._crew) is None:
            return
        deadline = _deadline(timeout_s)
        crew.end()
        # User code may call stop() from a worker; and an interrupted start() may have left a
        # thread that never ran, whose ident is None.
        here = threading.current_thread()
        others = [t for t in crew.threads if t is not here and t.ident is not None]
        # Waited for by the bell, since Python 3.11 takes a thread for ended whose join() Ctrl-C cut
        # short. The joins below find threads in their last few instructions.
        while not crew.left.issuperset(others) and crew.listen(deadline):
            pass
        for thread in crew.left.intersection(others):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._crew = None

    def abandon(self) -> None:
        """Tell the threads to end, and let go of them."""
        # Of the crew's calls none can block, also in a forked child, which has no such threads.
        self.kill()
        self._crew = None

    def __del__(self) -> None:
        self.abandon()

    def _started(self) -> _Crew:
        if self._crew is None:
            raise RuntimeError("the thread executor is not running: call start() first")
        return self._crew


def _deadline(timeout_s: float) -> float:
    return time.monotonic() + min(timeout_s, threading.TIMEOUT_MAX)


def _raise_failure(crew: _Crew) -> None:
    if crew.failure is not None:
        kind = type(crew.failure).__name__
        raise WorkerStartError(
            f"worker_init failed in a worker thread: {kind}: {crew.failure}. "
            "It runs once in each worker, before its first batch"
        ) from crew.failure


# --- In the threads -----------------------------------------------------------------------------


def _work(crew: _Crew, slot: int, worker_init: Callable[[int], object] | None) -> None:
    """Life of one thread."""
    watch = Watch()
    try:
        if worker_init is not None:
            worker_init(slot)
        while not crew.ending and (task := crew.queue.get()) is not None:
            if task.claim(_WORKER):
                _answer(crew, slot, task, watch)
            # A waiting thread must not keep alive what lies forgotten in an old task's box.
            del task
    except BaseException as error:
        crew.failure = error
    finally:
        crew.left.add(threading.current_thread())
        crew.ring()


def _answer(crew: _Crew, slot: int, task: _Task, watch: Watch) -> None:
    begun = time.perf_counter()
    try:
        computing = crew.computing
        with crew.turn if computing.takes_turns else contextlib.nullcontext():
            batch = computing.compute(task.ticket, watch)
        while watch.noticed:
            task.box.append((task, watch.noticed.pop()))
        if crew.copy:
            # Now and not in open(), since the Sequence may use its memory for another batch.
            batch = private_copy(batch)
        answer = LocalBatch(task.ticket, slot, batch, time.perf_counter() - begun)
        task.box.append((task, answer))
    except BaseException as error:
        # No variable holds the answer: its traceback holds this frame, and they would be a cycle.
        busy_s = time.perf_counter() - begun
        task.box.append((task, Raised(task.ticket, slot, as_raisable(error), busy_s=busy_s)))
    finally:
        task.ended = True
        crew.ring()
