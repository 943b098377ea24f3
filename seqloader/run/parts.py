"""What the parts of a run ask of each other, and nothing else. (What a session asks: guest.py.)

    enqueuer -> delivery --------------> epochs -> session, subject
             -> jumps -> relocation ---> epochs
             -> run    <- session, as its guest

Each is tested alone with stand-ins for the others (tests/run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.run.epoch import Epoch
    from seqloader.run.options import Options
    from seqloader.run.own_stop import OwnStop
    from seqloader.run.resume.place import Place
    from seqloader.run.session import Session
    from seqloader.run.subject import Subject
    from seqloader.run.telling import Telling
    from seqloader.stats import Counters

__all__ = [
    "Brought",
    "Course",
    "EpochClaim",
    "Jumpable",
    "Relocatable",
    "StreamClaim",
    "Turns",
    "UnderWay",
]


class UnderWay(Protocol):
    """Who knows which epoch is under way."""

    epoch: Epoch | None
    """The one under way."""


class Turns(UnderWay, Protocol):
    """What the delivery of batches asks of the epochs."""

    stream: object
    """Shared by all `get()`s of one stream; None while batches go to a `for`."""
    consumer: int
    """Thread that asked for a batch last."""
    empty_epochs: int
    """Epochs in a row that held no batch."""
    counters: Counters
    own_stop: OwnStop
    telling: Telling
    patience_s: float
    """How long the consumer waits for one batch before it says so, once."""

    @property
    def options(self) -> Options:
        """As of now."""

    def begin(self) -> Epoch:
        """Begin the coming epoch: its hook, its length, its plan, its first tickets."""

    def end_under_way(self) -> None:
        """End the epoch under way, if there is one: nothing is computed any more, then the hook."""


class Relocatable(UnderWay, Protocol):
    """What a relocation asks of the epochs."""

    stream: object
    empty_epochs: int

    @property
    def are_computing(self) -> bool:
        """Whether something of them is issued, or may be."""

    def stop_computing(self, epoch: Epoch | None) -> None:
        """Throw away what was computed of the epoch under way, and of those after it, and wait
        until nothing is being computed."""

    def take_away(self, epoch: Epoch) -> None:
        """It is not under way any more."""


class Brought(Protocol):
    """What a jump asks of a relocation."""

    def quietly(self, judge: Callable[[], Any], undo: Callable[[], object] | None = None) -> Any:
        """The judgement, while nothing is computed; where it is an error, all goes on as before."""

    def bring(self, place: Place, then: Callable[[], object] | None = None) -> None:
        """Stand elsewhere: one store, and what follows from it, `then` first. An interrupt may
        have that done twice."""

    def skip(self, place: Place) -> None:
        """Stand at the same place, with more to be skipped."""


class Course(Protocol):
    """The run, as the delivery of batches knows it."""

    session: Session

    @property
    def epochs(self) -> Turns:
        """Begun and ended."""


class Jumpable(Protocol):
    """The run, as jumps know it."""

    subject: Subject
    session: Session

    @property
    def epochs(self) -> UnderWay:
        """Asked which is under way."""

    @property
    def relocation(self) -> Brought:
        """What brings the run elsewhere."""


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
