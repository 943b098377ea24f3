"""The faults: what is done, what a good loader does, and by which rule a trial is judged."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["FAULTS", "Fault", "Rule", "find"]


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
    """One thing that goes wrong. Plain values only: programs and watchers look it up by name."""

    name: str
    done: str
    """What is done, in one sentence."""
    good: str
    """What a good loader does, in one sentence."""
    rule: Rule
    program: str = "iterate"
    """A file of `programs/`."""
    way: str = ""
    """How that program takes epochs, if not to their end: it may "abandon" them, or "leave"."""
    sequence: str = "Numbered"
    """A class of `victims`."""
    sequence_options: Mapping[str, Any] = field(default_factory=dict)
    length: int = 40
    nbytes: int = 1024
    epochs: int = 1
    pace_s: float = 0.0
    """The consumer sleeps that long over each batch."""
    from_start: bool = False
    """It is there before the loader is made."""
    blow: str = ""
    """A function of `blows`, for what is done from outside."""
    after_batches: int = 0
    """The blow falls when the consumer has had so many batches, or later."""
    within_s: float = 0.0
    """... how much later, at most: at random."""
    needs_workers: bool = True
    full_trials: int = 1
    """More than one where chance decides."""
    keeps: bool = False
    """The consumer keeps every batch."""
    raises: str = ""
    """The class of the user's own exception."""
    says: str = ""
    """A part of its text."""
    asks_again: bool = False
    """After that, the consumer asks the same loader for another epoch."""
    type_matters: bool = False
    """The exception must come with the user's own type; else its name and text are enough."""
    descriptors: int | None = None
    """RLIMIT_NOFILE of the program and of all that it starts."""
    shm_mb: int | None = None
    """Size of /dev/shm in a mount namespace of the trial's own."""
    timeout_s: float | None = None
    """Passed to peers that take `timeout_s`, a limit on one batch."""
    is_spawned: bool = False
    """Peers that have a start method which imports the main module anew are told to use it."""


def _catalogue() -> dict[str, Fault]:
    described = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))
    return {
        name: Fault(name, **{**facts, "rule": Rule[facts["rule"]]})
        for name, facts in described.items()
    }


_BY_NAME: Final = _catalogue()
FAULTS: Final = tuple(_BY_NAME.values())


def find(name: str) -> Fault:
    """The fault of that name."""
    if name not in _BY_NAME:
        raise ValueError(f"no fault {name!r}; there are: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
