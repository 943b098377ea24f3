"""What the parts of a run ask of each other, and nothing else.

    enqueuer -> delivery, jumps -> run -> session
                                   run <- session, as its guest

Each is tested alone with stand-ins for the others (tests/run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from seqloader.randomness.seeding import Seeding
    from seqloader.run.epoch import Epoch
    from seqloader.run.options import Options
    from seqloader.run.resume.place import Place, PlaceStore
    from seqloader.run.session import Session
    from seqloader.stats import Counters

__all__ = ["Course", "EpochClaim", "Guest", "Jumpable", "StreamClaim"]


class Guest(Protocol):
    """What a session asks of the run in it."""

    @property
    def sequence(self) -> Any:
        """What the executor is started with."""

    @property
    def seeding(self) -> Seeding:
        """What random numbers come from, as of now."""

    def prepare(self) -> None:
        """An executor is about to be started. May refuse."""

    def complete(self) -> None:
        """A step was torn: do what is left of it, if it is made."""

    def resume(self) -> None:
        """The executor was reset: issue again what was not handed over."""

    def spoil(self) -> None:
        """A step was torn, and is not mended: what is under way may lack something."""

    def forget(self) -> None:
        """The executor has stopped: nothing is under way any more."""

    def ending(self) -> Callable[[], object] | None:
        """What is due at the end, if this thread's own `stop()` brings it; run after `forget`."""


class Course(Protocol):
    """What the delivery of batches asks of a run."""

    options: Options
    session: Session
    epoch: Epoch | None
    """The one under way."""
    stream: object
    """Shared by all `get()`s of one stream; None while batches go to a `for`."""
    consumer: int
    """Thread that asked for a batch last."""
    empty_epochs: int
    """Epochs in a row that held no batch."""
    counters: Counters
    patience_s: float
    """How long the consumer waits for one batch before it says so, once."""

    def begin_epoch(self) -> Epoch:
        """Begin the coming epoch: its hook, its length, its plan, its first tickets."""

    def end_epoch(self) -> None:
        """End the epoch under way, if there is one: nothing in work, then the hook."""

    def issue_warnings(self, epoch: Epoch) -> None:
        """Issue what the epoch has to say, where an exception can lose nothing."""

    def busy(self) -> list[str]:
        """Who is at work on what."""

    def raise_stopped(self, epoch: Epoch) -> NoReturn:
        """Our own `stop()` cut the epoch short."""

    def is_own_stop(self, error: BaseException) -> bool:
        """Whether it was `raise_stopped` that raised it. Asked once."""


class Jumpable(Protocol):
    """What a jump asks of a run."""

    sequence: Any
    shuffle: bool
    options: Options
    session: Session
    epoch: Epoch | None
    store: PlaceStore
    counters: Counters
    must_refresh: bool
    """Whether the Sequence was changed, and workers must be sent it."""
    hooked: Any
    """The Sequence whose hooks have run."""
    broken: Any
    """A Sequence on which hooks were run again, and not to the end: it computes no batch."""

    def quietly(self, judge: Callable[[], Any], undo: Callable[[], object] | None = None) -> Any:
        """The judgement, while nothing is in work; where it is an error, all goes on as before."""

    def bring(self, place: Place, then: Callable[[], object] | None = None) -> None:
        """Stand elsewhere: one store, and what follows from it, `then` first. An interrupt may
        have that done twice."""

    def leave_out(self, place: Place) -> None:
        """Stand at the same place, with more to be skipped."""


class EpochClaim(Protocol):
    """What the delivery of batches asks of the iterator of a `for`."""

    @property
    def epoch(self) -> Epoch:
        """Whose batches it gives."""

    @property
    def start(self) -> int:
        """In which start of the session."""

    finished: bool
    """Whether it has ended: it goes on to do so."""


class StreamClaim(Protocol):
    """What the delivery of batches asks of a `get()`."""

    @property
    def stream(self) -> object:
        """Of which stream it is."""

    @property
    def start(self) -> int:
        """In which start of the session."""
