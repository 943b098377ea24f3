"""An executor in whose tests it is said how much is there ahead of the consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.executors.inline import InlineExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Eager"]


class Eager(InlineExecutor):
    """Computes in the consumer, and further batches whenever it is looked whether any are there.

    Args:
        further: Called at each look: how many more are there by now.
    """

    def __init__(self, further: Callable[[], int] = lambda: 100) -> None:
        super().__init__()
        self._further = further

    def collect(self) -> Iterable[Any]:
        """What `wait` has computed, and further ones."""
        collected = list(super().collect())
        for _ in range(self._further()):
            self.wait(None)
            collected.extend(super().collect())
        return collected
