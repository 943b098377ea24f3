"""The inline executor: batches computed in the consumer's own thread, while it waits for them.

One ticket, time going down
    submit     the ticket joins the queue
    wait       the oldest is computed; it stays first in the queue, its answer lies beside it
    collect    ticket and answer leave together

Nothing runs between the consumer's calls, so that `discard` and `reset` only have to forget.
An exception that arrives in `wait` from outside (rule R3) finds the ticket still in the queue, and
it is computed again.

Not here: killing, respawning, `timeout_s`. What computes is the consumer itself.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from seqloader.executors.computing import Computing
from seqloader.executors.local_batch import answer_with

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seqloader.randomness.seeding import Seeding
    from seqloader.tickets import Outcome, Ticket

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Computes one ticket in each `wait`, in the thread that calls it.

    Args:
        copy: Whether batches get memory of their own. Else they are the very objects that
            `__getitem__` returned, and may be views of the Sequence's arrays.
    """

    workers = 0

    def __init__(self, *, copy: bool = False) -> None:
        self._copy = copy
        self._queue: deque[Ticket] = deque()
        self._answer: Outcome | None = None
        """That of the first ticket in the queue."""
        self._computing: Computing | None = None
        self._seeding: Seeding | None = None
        self._woken = False
        self._ended = False

    def start(self, sequence: Any, seeding: Seeding) -> None:
        """Keep the Sequence. It is used as it is, so that nothing can fail here."""
        self._seeding = seeding
        self._take_up(sequence)
        self._woken = self._ended = False

    def _take_up(self, sequence: Any) -> None:
        seeding = self._seeding
        assert seeding is not None, "loaded before start()"
        seeded = seeding.reseed_globals
        self._computing = Computing(sequence, seeding, seeded=seeded, worker=False)

    def submit(self, ticket: Ticket) -> None:
        self._queue.append(ticket)

    def wait(self, timeout_s: float | None) -> None:
        """Compute the oldest ticket, unless an answer is there already or `wake()` was called.

        It takes as long as `__getitem__` does. With nothing to compute it returns at once, because
        nobody else could bring anything about.
        """
        if self._woken:
            self._woken = False
        elif self._answer is None and self._queue and not self._ended:
            assert self._computing is not None, "submitted before start()"
            ticket = self._queue[0]
            # One store: an exception from outside comes before it or after it. (Ctrl-C cannot be
            # told from a KeyboardInterrupt that user code raises; it is the consumer's.)
            self._answer = answer_with(
                self._computing.compute, ticket, 0, self._copy, (KeyboardInterrupt,)
            )

    def collect(self) -> Iterable[Outcome]:
        """Hand out what `wait` computed."""
        if self._answer is None:
            return ()
        answered = (self._answer,)
        self._queue.popleft()
        self._answer = None
        return answered

    def alarmed(self) -> bool:
        return False

    def load(self, sequence: Any, *, in_place: bool) -> None:
        """Use `sequence` from now on."""
        if in_place or self._computing is None or not self._computing.is_of(sequence):
            self._take_up(sequence)

    def discard(self, timeout_s: float | None = None) -> bool:
        self.reset()
        return True

    def reset(self) -> None:
        """Forget all tickets."""
        self._queue.clear()
        self._answer = None

    def wake(self) -> None:
        """Make the next `wait` return without computing; one that computes cannot be cut short."""
        self._woken = True

    def kill(self) -> None:
        """Compute nothing any more."""
        self._ended = True

    def stop(self, timeout_s: float) -> None:
        """Forget everything. `start` may follow."""
        self._ended = True
        self.reset()
        self._computing = self._seeding = None

    def abandon(self) -> None:
        self.stop(timeout_s=0.0)

    def check(self) -> None:
        """Assert what holds where no call was torn: an answer is that of the first ticket."""
        assert self._answer is None or self._answer.ticket is self._queue[0]
