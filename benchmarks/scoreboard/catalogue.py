"""The faults: what is done, what a good loader does, and by which rule a trial is judged."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final


class Rule(enum.Enum):
    """What must happen; `verdict` has one function for each."""

    GO_ON = "all batches of all epochs, in order, each once"
    REFUSE = "the batches before it, then an error that names the worker's death"
    RAISE = "the user's own exception, and a loader that can be used again"
    END = "the program ends at once, with its own exit status, and without noise"
    VANISH = "nothing of it is left"
    STAY_FLAT = "as many processes, threads and descriptors as before"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, as `faults.toml` tells of it. Plain values only."""

    name: str
    done: str
    good: str
    rule: Rule
    program: str = "iterate"
    way: str = ""
    sequence: str = "Numbered"
    sequence_options: Mapping[str, Any] = field(default_factory=dict)
    length: int = 40
    nbytes: int = 1024
    epochs: int = 1
    pace_s: float = 0.0
    from_start: bool = False
    blow: str = ""
    after_batches: int = 0
    within_s: float = 0.0
    needs_workers: bool = True
    full_trials: int = 1
    keeps: bool = False
    raises: str = ""
    says: str = ""
    asks_again: bool = False
    type_matters: bool = False
    descriptors: int | None = None
    shm_mb: int | None = None
    timeout_s: float | None = None
    is_spawned: bool = False


_LISTED: Final = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))
_BY_NAME: Final = {
    name: Fault(name, **{**facts, "rule": Rule[facts["rule"]]}) for name, facts in _LISTED.items()
}
FAULTS: Final = tuple(_BY_NAME.values())


def find(name: str) -> Fault:
    """The fault of that name."""
    if name not in _BY_NAME:
        raise ValueError(f"no fault {name!r}; there are: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
