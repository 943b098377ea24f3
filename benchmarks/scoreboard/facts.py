"""One fault done to one peer, once, and what was seen of it: raw, before anybody judges it.

Plain values, which travel as JSON.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

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
    """Passed to the loader."""
    silent_s: float = SILENT_S

    @property
    def cell(self) -> tuple[str, str]:
        return self.peer, self.fault

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


@dataclass(frozen=True)
class Raised:
    """An exception in the consumer."""

    type: str
    message: str = ""
    text: str = ""
    """Type and message of it and of what caused it, with notes: a traceback without the code."""
    own: bool = False
    """It is an instance of the user's own class."""
    after_s: float | None = None
    """Seconds since the fault fell."""


@dataclass(frozen=True)
class Facts:
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the peer's loader was given beside the usual."""
    struck: bool = True
    """Whether the fault fell at all."""
    hung: bool = False
    """Nothing happened for so long that the watcher ended everything."""
    phase: str = "done"
    """The last thing the program did: opening, iterating, closing, leaving, done."""
    length: int = 0
    """Batches of an epoch."""
    delivered: tuple[int, ...] = ()
    """Batches that came in order, for each epoch that was begun."""
    whole: bool = False
    """All epochs were delivered that were to be."""
    wrong: str = ""
    """What was wrong with the data."""
    raised: Raised | None = None
    again: bool = False
    """After that, another epoch was asked for."""
    raised_again: Raised | None = None
    exit_status: int | None = 0
    """As `subprocess` has it; None if the watcher ended it."""
    wanted_status: int | None = None
    seconds: float = 0.0
    """From the start to the end of the program, or to the moment the watcher gave up."""
    ended_after_s: float | None = None
    """From the fault (or from leaving) to the end of the program."""
    tracebacks: int = 0
    lines: int = 0
    """On standard error."""
    noise: str = ""
    """What came on standard error after the script had ended."""
    stderr_tail: str = ""
    counted_before: Mapping[str, int] = field(default_factory=dict)
    counted_after: Mapping[str, int] = field(default_factory=dict)
    left_processes: tuple[str, ...] = ()
    left_files: tuple[str, ...] = ()
    """In /dev/shm and in the folder for temporary files."""
    worker_pids: tuple[int, ...] = ()
    """All processes that computed a batch."""
    trouble: str = ""
    """Why the trial itself could not be held."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Facts:
        """From what `dataclasses.asdict` and JSON made of it."""
        facts: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        for name in ("raised", "raised_again"):
            facts[name] = Raised(**facts[name]) if facts.get(name) else None
        return cls(**facts)
