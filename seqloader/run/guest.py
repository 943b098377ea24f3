"""What a session asks of the run in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.randomness.seeding import Seeding

__all__ = ["Guest"]


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

    def started(self) -> None:
        """It has started."""

    def complete(self) -> None:
        """A step was torn: do what is left of it, if it is made."""

    def resume(self) -> None:
        """The executor was reset: issue again what was not handed over."""

    def resized(self) -> None:
        """The executor has another number of workers, and the session another queue."""

    def spoil(self) -> None:
        """A step was torn, and is not mended: what is under way may lack something."""

    def forget(self) -> None:
        """The executor has stopped: nothing is under way any more."""

    def ending(self) -> Callable[[], object] | None:
        """What is due at the end, if this thread's own `stop()` brings it; run after `forget`."""
