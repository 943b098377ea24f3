"""The Sequence as forked workers inherit it: what `StateFile` is for fresh interpreters."""

from __future__ import annotations

from typing import Any, Final

from seqloader.sequence.bindings import Bindings, bindings, rebind, same_bindings

__all__ = ["InheritedState"]


class InheritedState:
    """The Sequence itself, and what its attributes were when workers were to have it."""

    fd: Final = -1
    offset: Final = 0
    passed: Final[frozenset[int]] = frozenset()
    modules: Final[frozenset[str]] = frozenset()
    shared: Final[frozenset[Any]] = frozenset()
    keeps_older: Final = False
    is_private: Final = False
    """Nobody has looked whether the Sequence holds what both sides may change."""

    def __init__(self) -> None:
        self.version = 0
        self._sequence: Any = None
        self._bound: Bindings = {}

    def publish(self, sequence: Any, *, in_place: bool) -> bool:
        """Take the state that `sequence` has now, if it is another. Whether it was."""
        if not in_place and sequence is self._sequence and self._is_bound():
            return False
        self._sequence = sequence
        self._bound = bindings(sequence)
        self.version += 1
        return True

    def _is_bound(self) -> bool:
        return same_bindings(self._bound, bindings(self._sequence))

    def sequence(self) -> Any:
        """In a worker: the Sequence as it was taken. Attributes that were bound anew in the middle
        of an epoch are for the next one."""
        if not self._is_bound():
            rebind(self._sequence, self._bound)
        return self._sequence

    def reclaim(self, acknowledged: object) -> None:
        """Workers own what they inherited: there is nothing to give back."""

    def close(self) -> None:
        """Forget the Sequence."""
        self._sequence = None
        self._bound = {}
