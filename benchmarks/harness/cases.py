"""A case is one thing to measure, a run is one measurement of it in a fresh interpreter."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    """The name of a peer; "none" for what is measured beside them."""
    workload: str = "Tiny"
    workload_options: Mapping[str, float] = field(default_factory=dict)
    workers: int = 2
    in_flight: int = 8
    seed: int | None = None
    start_method: str = ""
    """How worker processes are started, for peers that have a choice; empty for their default."""
    touch: bool = True
    """Whether the consumer reads one element of every page. The label is always read."""
    step_s: float = 0.0
    """What the consumer sleeps after each batch, as if it trained."""
    epochs: int = 1
    goes_on: bool = False
    """A stream is made of epochs that follow each other, for peers that know no bound."""
    warmup_s: float = 0.0
    settle_s: float = 0.0
    """Of warm-up at least, at any pace: for what finds out its size by itself."""
    warmup_batches: int = 0
    """Batches of warm-up at least: as many as it takes until all memory was used once."""
    measure_s: float = 0.0
    min_batches: int = 1
    time_limit_s: float = 60.0
    watch_memory: bool = False
    """Sample the memory of the process tree from outside while it runs (which slows it down)."""
    max_rounds: int | None = None
    """Rounds after which this case has been measured often enough; None for all there are."""
    requires: str = ""
    """A distribution that it needs beside those of its peer."""

    def at(self, pace: Pace) -> Case:
        """The same case, measured for as long as `pace` says."""
        return dataclasses.replace(self, **{k: v for k, v in vars(pace).items() if k != "rounds"})

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, beside the name and the measure."""
        plain = vars(Case("", ""))
        return {name: value for name, value in vars(self).items() if value != plain[name]}

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

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
    hung: bool = False
    """It was killed at its time limit."""
    round: int = 1
    took_s: float = 0.0
    """Wall time of all of it, interpreter, imports and warm-up included."""

    def to_dict(self) -> dict[str, Any]:
        """All but the case, which is named only."""
        plain = vars(Run(self.case, {}))
        facts = {name: value for name, value in vars(self).items() if value != plain[name]}
        return {"case": self.case.name, "round": self.round, "figures": self.figures, **facts}
