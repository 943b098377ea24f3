"""What was seen, before anybody made anything of it. Plain values: they travel between processes.

One class for each question, and `Untried` for one that could not be put.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqloader.command.check.attributes import Change
    from seqloader.command.check.leaves import Difference

__all__ = [
    "Batches",
    "Cause",
    "Determinism",
    "Failure",
    "Growth",
    "Held",
    "Hooks",
    "Kills",
    "Mutation",
    "Pickled",
    "Question",
    "Resume",
    "Seen",
    "Source",
    "Split",
    "Subject",
    "Turn",
    "Untried",
    "Why",
]


class Question(StrEnum):
    """What is asked of a Sequence, in this order."""

    PICKLING = "pickling"
    DETERMINISM = "determinism"
    MUTATION = "mutation"
    BATCHES = "batches"
    MEMORY = "memory"
    HOOKS = "hooks"
    RESUME = "resume"
    KILLS = "kills"


class Why(StrEnum):
    """Why a question was not put."""

    TIME = "time"
    BROKEN = "broken"
    """Something else must be mended first, and is found elsewhere."""
    ASKED = "asked"
    """It was asked to be left out."""


@dataclass(frozen=True)
class Untried:
    """A question that was not put."""

    question: Question
    why: Why
    said: str


@dataclass(frozen=True)
class Subject:
    """What is being checked, and how much of it."""

    kind: str
    length: int | None
    """Batches in the first epoch; None: endless."""
    tried: int = 0
    """Different batches that were computed."""


@dataclass(frozen=True)
class Held:
    """An attribute, and what it adds to what is sent."""

    name: str
    pickled: int
    arrays: int


@dataclass(frozen=True)
class Pickled:
    """The Sequence as it is sent to workers."""

    pickled: int = 0
    """Bytes of Python objects: every worker makes its own of them."""
    arrays: int = 0
    """Bytes of arrays that are sent once and shared by all workers."""
    seconds: float = 0.0
    attributes: tuple[Held, ...] = ()
    """The largest first."""
    problem: str = ""
    """Why it cannot be pickled; empty where it can."""


class Cause(StrEnum):
    """Why two computations of a batch differ, as far as experiments tell."""

    NONE = "none"
    SOURCE = "source"
    """They agree when what they ask (entropy, the clock) is held still."""
    HASHES = "hashes"
    """They differ with PYTHONHASHSEED alone."""
    HISTORY = "history"
    """They differ with what was computed before in the same process."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Source:
    """Something that was asked for, which is another thing each time."""

    name: str
    place: str
    """In the user's code: `data.py:31`."""


@dataclass(frozen=True)
class Split:
    """A batch, two computations of which differ."""

    index: int
    epoch: int


@dataclass(frozen=True)
class Determinism:
    """The same batches, computed again in another process, in another order."""

    compared: int
    """Different batches that were computed at least twice."""
    computed: int
    """How often in all."""
    differing: tuple[Split, ...] = ()
    leaves: tuple[Difference, ...] = ()
    """Of the first of them."""
    cause: Cause = Cause.NONE
    sources: tuple[Source, ...] = ()
    """Those whose holding still makes computations agree; without such, those that were asked."""
    changed: tuple[Change, ...] = ()
    """Attributes that `__getitem__` changes."""
    tried_hashes: bool = True
    """Whether another PYTHONHASHSEED was tried; forked workers cannot have one."""
    in_time: bool = True
    """Whether there was time for all experiments."""


@dataclass(frozen=True)
class Mutation:
    """The attributes before the first batch of a worker, and after its last."""

    batches: int
    changed: tuple[Change, ...] = ()
    matters: bool = False
    """Whether what a batch is depends on which were computed before."""
    differs: bool = False
    """Whether batches differ at all, for whatever reason."""


@dataclass(frozen=True)
class Failure:
    """A batch that was not there: it raised, killed its worker or did not end."""

    index: int
    epoch: int
    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Seen:
    """One batch."""

    index: int
    took_s: float
    """The shortest time of those that it took."""
    nbytes: int
    kinds: tuple[tuple[str, str], ...]
    """Path and kind (dtype and shape) of each leaf."""
    none: bool = False


@dataclass(frozen=True)
class Batches:
    """How batches vary."""

    seen: tuple[Seen, ...]
    raised: tuple[Failure, ...] = ()
    died: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Growth:
    """The private memory of one worker, after so and so many calls."""

    points: tuple[tuple[int, int], ...]
    """Calls and bytes; the first point is before any call."""
    rounds: int
    batches: int
    """Different batches in a round."""
    length: int | None
    batch_bytes: float = 0.0
    """Mean of the batches."""
    lines: tuple[tuple[str, int], ...] = ()
    """Where it was allocated, and bytes per call; looked for where memory grew."""
    changed: tuple[Change, ...] = ()
    """Attributes that grew."""
    forked: bool = False


@dataclass(frozen=True)
class Turn:
    """The hooks around one epoch."""

    epoch: int
    begin_s: float
    end_s: float
    length: int | None


@dataclass(frozen=True)
class Hooks:
    """`on_epoch_begin`, `__len__` and `on_epoch_end`, epoch after epoch."""

    begins: bool
    """Whether the Sequence has an `on_epoch_begin` of its own."""
    ends: bool
    turns: tuple[Turn, ...] = ()
    early_length: str = ""
    """What `len()` raised before any hook ran; empty where it did not."""
    raised: str = ""
    """What is wrong with a hook or the length, and in which epoch; empty where nothing is."""
    traceback: str = ""
    problem: str = ""
    """Why it cannot be pickled after hooks ran, although it could before."""


@dataclass(frozen=True)
class Resume:
    """A run that was saved and resumed, beside one that was not interrupted."""

    positions: tuple[tuple[int, int], ...]
    """Epoch and position of each state that was resumed."""
    compared: int = 0
    """Batches after all resumes together."""
    differs_at: tuple[int, int, int] | None = None
    """Epoch of the state, epoch and position of the first batch that differs."""
    differing: int = 0
    again_differs: int = -1
    """Epoch from which a plain second run differs as well; -1: it does not; looked for where a
    resumed one does."""
    error: str = ""
    """What raised, and what it said."""
    traceback: str = ""
    hooks: bool = False
    """Whether the Sequence has hooks of its own."""
    keeps_state: bool = False
    """Whether it has `state_dict` and `load_state_dict`."""
    state_bytes: int = 0


@dataclass(frozen=True)
class Kills:
    """A run whose workers were killed, beside one whose workers were not."""

    kills: int
    respawns: int = 0
    compared: int = 0
    differing: int = 0
    error: str = ""
    traceback: str = ""
