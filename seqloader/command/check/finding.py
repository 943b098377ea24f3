"""Questions, and what was found of each, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

__all__ = ["Finding", "Question", "Status", "Untried", "Why", "note", "ok", "problem", "some"]


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


class Status(StrEnum):
    """How it stands."""

    OK = "ok"
    NOTE = "note"  # good to know; nothing is broken
    PROBLEM = "problem"
    UNTRIED = "untried"  # there was no time to put the question


class Finding(NamedTuple):
    """One question's answer. What does not apply is empty."""

    status: Status
    seen: str
    why: str = ""  # probably
    advice: str = ""
    detail: str = ""  # a traceback, as it is


ok = partial(Finding, Status.OK)
note = partial(Finding, Status.NOTE)
problem = partial(Finding, Status.PROBLEM)


class Why(StrEnum):
    """Why a question was not put."""

    TIME = "time"
    BROKEN = "broken"  # something else must be mended first, and is found elsewhere
    ASKED = "asked"  # it was asked to be left out


@dataclass(frozen=True)
class Untried:
    """A question that was not put."""

    question: Question
    why: Why
    said: str = "the time was up before it could be tried"

    def finding(self) -> Finding:
        if self.why is Why.TIME:
            advice = "Give it more time (--budget-seconds) or fewer batches (--batches)"
            return Finding(Status.UNTRIED, self.said, advice=advice)
        mend = "Mend what was found, and check again" if self.why is Why.BROKEN else ""
        return note(f"not tried: {self.said}", advice=mend)


def some(told: Sequence[str]) -> str:
    """`a, b, c and 37 more`."""
    shown = ", ".join(told[:3])
    return f"{shown} and {len(told) - 3} more" if len(told) > 3 else shown
