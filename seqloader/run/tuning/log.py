"""What was decided, when and why: lines of `enqueuer.tuning_log()`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TuningStep"]


@dataclass(frozen=True, slots=True)
class TuningStep:
    """One decision of an enqueuer that chooses its size itself. `print` shows it as a line."""

    seconds: float
    """Since the enqueuer first started."""
    workers: tuple[int, int]
    """Before and after."""
    max_queue_size: tuple[int, int]
    """Before and after."""
    reason: str
    """With its figures."""
    rate: float
    """Batches per second that were delivered, in the interval that was looked at."""
    budget_bytes: int | None
    """What batches and workers together may have, by the budget of this user; None: unknown."""

    def __str__(self) -> str:
        changes = (_change("workers", self.workers), _change("queue", self.max_queue_size))
        size = ", ".join(change for change in changes if change) or "no change"
        return f"{self.seconds:8.1f} s  {size}: {self.reason}"


def _change(name: str, sizes: tuple[int, int]) -> str:
    return "" if sizes[0] == sizes[1] else f"{name} {sizes[0]} -> {sizes[1]}"
