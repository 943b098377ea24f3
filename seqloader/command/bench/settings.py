"""What `seqloader bench` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings", "default_workers"]


@dataclass(frozen=True)
class Settings:
    """The arguments of the command; its `--help` describes the fields."""

    target: str
    arg: tuple[str, ...] = ()
    workers: tuple[int, ...] = ()
    queue: int | None = None
    seconds: float = 1.0
    batches: int | None = None
    rounds: int = 3
    step_ms: float | None = None
    executor: str = "process"
    start_method: str | None = None
    seed: int | None = None
    touch: bool = True
    plot: Path | None = None
    json: Path | None = None

    @property
    def further_options(self) -> dict[str, Any]:
        """Arguments of the enqueuer beside workers and queue, as far as they were given."""
        options = {
            "executor": None if self.executor == "process" else self.executor,
            "start_method": self.start_method,
            "seed": self.seed,
        }
        return {name: value for name, value in options.items() if value is not None}


def default_workers(cpus: int) -> tuple[int, ...]:
    """0, 1, 2, 4, ... and as many workers as there are CPUs."""
    doubled = (1 << power for power in range(cpus.bit_length()))
    return (0, *sorted({*doubled, cpus}))
