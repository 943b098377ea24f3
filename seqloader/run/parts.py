"""What the parts of a run ask of each other, and nothing else. (What a session asks: guest.py.)

    enqueuer -> delivery, jumps -> run -> session
                                   run <- session, as its guest

Each is tested alone with stand-ins for the others (tests/run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from seqloader.run.epoch import Epoch
    from seqloader.run.options import Options
    from seqloader.run.resume.place import Place, PlaceStore
    from seqloader.run.session import Session
    from seqloader.stats import Counters

__all__ = ["Course", "EpochClaim", "Jumpable", "StreamClaim"]


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
        """End the epoch under way, if there is one: nothing is computed any more, then the hook."""

    def issue_warnings(self, epoch: Epoch) -> None:
        """Issue what the epoch has to say, where an exception can lose nothing."""

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

    def settle_shard(self) -> None:
        """With `shard="auto"`, keep to what is found now."""

    def quietly(self, judge: Callable[[], Any], undo: Callable[[], object] | None = None) -> Any:
        """The judgement, while nothing is computed; where it is an error, all goes on as before."""

    def bring(self, place: Place, then: Callable[[], object] | None = None) -> None:
        """Stand elsewhere: one store, and what follows from it, `then` first. An interrupt may
        have that done twice."""

    def skip(self, place: Place) -> None:
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
