"""Where the consumer and the dispatcher's thread meet.

Rules
    X1  No lock is ever held: every step that both sides see is one call into C that cannot be torn
        (deque.append, deque.popleft, SimpleQueue.put), or one store. So an exception raised
        asynchronously in the consumer leaves nothing half done.
    X2  `wait` blocks on the bell, a lock used as a binary semaphore, and moves nothing.
    X3  A box is a generation of tickets. `discard` and `reset` put a new one here, and then say so;
        what comes about before the dispatcher has heard of it goes into the old one.
    X4  The dispatcher's thread refers to the exchange and never to the executor, so that dropping
        the executor ends it.
"""

from __future__ import annotations

import enum
import math
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from seqloader.randomness.drawn_values import Noticed
    from seqloader.tickets import Death, Outcome, Shortage

__all__ = ["Box", "Event", "Exchange", "Message"]

Box = deque["Outcome | Death | Shortage | Noticed"]


class Event(enum.Enum):
    """What the dispatcher hears of."""

    SUBMIT = enum.auto()
    """A ticket."""
    LOAD = enum.auto()
    """Version and reference of a new state."""
    RESIZE = enum.auto()
    """Workers, and tickets ahead."""
    DISCARD = enum.auto()
    """Nothing is wanted any more: a number to settle with, and the new box."""
    RESET = enum.auto()
    """The same, and what runs is killed."""
    READY = enum.auto()
    """Number of an actor, and the future of what it says first."""
    ANSWER = enum.auto()
    """A call, and the future of its reply."""
    RECALLED = enum.auto()
    """Number of an actor, and the future of the numbers of calls that it had not begun."""
    END = enum.auto()
    """It is ending."""


class Message(NamedTuple):
    """One event."""

    event: Event
    subject: Any
    more: Any = None


class Exchange:
    """What one start of an executor has in common with its dispatcher."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.box: Box = deque()
        self.settled = 0
        """The last `discard` or `reset` after which nothing of before was being computed."""
        self.alarm = False
        """Whether there is something else than outcomes in the box."""
        self.failure: BaseException | None = None
        self.woken = False
        self.ending = False
        self.deadline = 0.0
        """Until when what ends may take, once it is ending."""
        self.left = False
        """Whether the dispatcher has done its last work."""
        self._bell = threading.Lock()
        self._bell.acquire()

    def post(self, event: Event, subject: Any = None, more: Any = None) -> None:
        """Tell the dispatcher. Any thread, signal handlers and finalizers included."""
        self.inbox.put(Message(event, subject, more))

    def ring(self) -> None:
        """Wake the consumer, if it waits."""
        try:
            self._bell.release()
        except RuntimeError:  # it is ringing already
            pass

    def listen(self, deadline: float) -> bool:
        """Block until the bell rings. False: the deadline came first."""
        rest_s = deadline - time.monotonic() if deadline < math.inf else threading.TIMEOUT_MAX
        return self._bell.acquire(timeout=min(max(0.0, rest_s), threading.TIMEOUT_MAX))

    def end(self, timeout_s: float = 0.0) -> None:
        """Begin nothing any more. What is computed has half of the time; then it is killed."""
        self.deadline = time.monotonic() + timeout_s
        self.ending = True
        self.post(Event.END)
        self.ring()
