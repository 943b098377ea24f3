"""What a judge says: a cause in a word, what was seen of it, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cause", "Verdict"]


class Cause(StrEnum):
    """What limits the loading, in a word."""

    UNKNOWN = "unknown"
    CONSUMER = "consumer"
    DEATHS = "deaths"
    RETRIES = "retries"
    MEMORY = "memory"
    HOLDING = "holding"
    START_UP = "start-up"
    OVERSUBSCRIPTION = "oversubscription"
    TRANSPORT = "transport"
    STRAGGLERS = "stragglers"
    WINDOW = "window"
    STORAGE = "storage"
    COMPUTE = "compute"


@dataclass(frozen=True)
class Verdict:
    """The cause, what was seen of it, and what to change. As text it is one sentence of each."""

    cause: Cause
    seen: str
    advice: str
    doubt: str = ""
    """Why it may be wrong; empty where nothing speaks against it."""

    def __str__(self) -> str:
        return f"{self.named}: {self.seen}. {self.advice}."

    @property
    def named(self) -> str:
        """The cause, with the doubt."""
        return f"{self.doubt}; perhaps {self.cause}" if self.doubt else str(self.cause)
