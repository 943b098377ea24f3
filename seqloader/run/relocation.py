"""A run is brought to another place.

Rule, beside those of session.py and epochs.py
    R8  A jump cuts the epoch under way: no hook runs for it. It is made by one store, of the place.
        Interrupted before it, the run stands where it stood; after it, whoever enters next does
        what is left to do (`complete`), which may be done twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.run.parts import Relocatable
    from seqloader.run.resume.place import Place
    from seqloader.run.session import Session
    from seqloader.run.subject import Subject

__all__ = ["Relocation"]


class Relocation:
    """Brings a run to another place, and does what follows from that."""

    def __init__(self, subject: Subject, session: Session, epochs: Relocatable) -> None:
        self._subject = subject
        self._session = session
        self._epochs = epochs
        self._intent: tuple[Place, Callable[[], object]] | None = None
        """Where the run is brought, and what follows from it."""

    def quietly(self, judge: Callable[[], Any], undo: Callable[[], object] | None = None) -> Any:
        """The judgement, while nothing is computed; where it is an error, all goes on as before."""
        epochs, session = self._epochs, self._session
        epoch = epochs.epoch
        if session.stopping or not epochs.are_computing:
            return judge()
        session.step()
        epochs.stop_computing(epoch)
        try:
            return judge()
        except BaseException:
            if undo is not None:
                undo()
            if epochs.epoch is epoch:
                if epoch is not None:
                    epoch.fill()
                session.done()
            raise

    def bring(self, place: Place, then: Callable[[], object] | None = None) -> None:
        """Stand elsewhere: one store, and what follows from it, `then` first."""

        def follow() -> None:
            if then is not None:
                then()
            self._arrive(place)

        self._make(place, follow)

    def skip(self, place: Place) -> None:
        """Stand at the same place, with more to be skipped."""

        def follow() -> None:
            epoch, skips = self._epochs.epoch, place.cursor.skipped.get(place.cursor.epoch)
            if epoch is not None and skips is not None and not self._session.stopping:
                epoch.skip(skips)

        self._make(place, follow)

    def complete(self) -> None:
        """A step was torn: do what is left of a jump, if it is made."""
        intent = self._intent
        if intent is not None and self._subject.place is intent[0]:
            intent[1]()
        self._intent = None

    def _make(self, place: Place, follow: Callable[[], object]) -> None:
        session = self._session
        session.step()
        self._intent = place, follow
        self._subject.store.put(place)
        follow()
        self._intent = None
        session.done()
        if session.stopping:  # by a signal handler, in the middle
            session.give_way()

    def _arrive(self, place: Place) -> None:
        """The epoch under way, of which nothing is being computed, is none any more."""
        session, epochs = self._session, self._epochs
        if epochs.epoch is not None:
            epochs.take_away(epochs.epoch)
        epochs.empty_epochs = 0
        if session.is_running and session.started_with != place.seeding:
            stream = epochs.stream
            self._intent = None  # stopping comes here again
            session.restart()
            epochs.stream = stream
