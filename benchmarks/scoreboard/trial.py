"""One fault done to one peer, once: plain values, which travel as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["QUEUE", "SILENT_S", "WORKERS", "Trial"]

WORKERS: Final = 2
QUEUE: Final = 8
SILENT_S: Final = 15.0
"""If nothing has happened for so long, the loader has hung."""


@dataclass(frozen=True)
class Trial:
    fault: str
    peer: str
    """A name of `peers`, or `module:function` of something that makes a loader."""
    number: int = 1
    seed: int = 0
    """Of what happens at random."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to `make_loader`."""
    silent_s: float = SILENT_S

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))
