"""What `seqloader check` was asked for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The arguments of the command; its `--help` describes the fields."""

    target: str
    arg: tuple[str, ...] = ()
    batches: int = 64
    epochs: int = 3
    workers: int = 2
    kills: int = 3
    seed: int = 0
    budget_seconds: float = 60.0
    json: bool = False
