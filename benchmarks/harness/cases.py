"""A case is one thing to measure, a run is one measurement of it in a fresh interpreter."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FULL", "QUICK", "Case", "Pace", "Run"]


@dataclass(frozen=True)
class Pace:
    """How long everything is measured: the same for every engine of a script."""

    rounds: int
    warmup_s: float
    measure_s: float
    min_batches: int
    """Batches measured at least, and half of them as warm-up, however slow the engine is."""
    time_limit_s: float
    """A run that takes longer than this has hung: it is killed, and the next one begins."""


FULL = Pace(rounds=5, warmup_s=0.5, measure_s=1.5, min_batches=12, time_limit_s=60.0)
QUICK = Pace(rounds=3, warmup_s=0.15, measure_s=0.3, min_batches=4, time_limit_s=20.0)


@dataclass(frozen=True)
class Case:
    """What one run measures. Travels to its fresh interpreter as JSON, so plain values only."""

    name: str
    measure: str
    """A function of `harness.measures`."""
    engine: str = "none"
    workload: str = "Tiny"
    workload_options: Mapping[str, float] = field(default_factory=dict)
    workers: int = 2
    in_flight: int = 8
    seed: int | None = None
    touch: bool = True
    """Whether the consumer reads every 4096th element. The label is always read."""
    epochs: int = 1
    warmup_s: float = 0.0
    measure_s: float = 0.0
    min_batches: int = 1
    time_limit_s: float = 60.0
    watch_memory: bool = False
    """Sample the memory of the process tree from outside while it runs (which slows it down)."""

    def at(self, pace: Pace) -> Case:
        """The same case, measured for as long as `pace` says."""
        return dataclasses.replace(
            self,
            warmup_s=pace.warmup_s,
            measure_s=pace.measure_s,
            min_batches=pace.min_batches,
            time_limit_s=pace.time_limit_s,
        )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Run:
    """What came of one run: its figures, or why there are none."""

    case: Case
    figures: Mapping[str, float]
    failure: str | None = None
    """A hang, a crash or an exception, in one line and the tail of what was printed."""
    wrong: bool = False
    """The failure is a batch out of order, lost, doubled, or with other content than computed."""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
