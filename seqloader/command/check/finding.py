"""What was found of one question, in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqloader.command.check.facts import Question

__all__ = ["Finding", "Status", "some"]

SHOWN = 3


class Status(StrEnum):
    """How it stands."""

    OK = "ok"
    NOTE = "note"
    """Good to know; nothing is broken."""
    PROBLEM = "problem"
    UNTRIED = "untried"
    """There was no time to put the question."""


@dataclass(frozen=True)
class Finding:
    """One question's answer."""

    question: Question
    status: Status
    seen: str
    why: str = ""
    """Why probably; empty where nothing is to be explained."""
    advice: str = ""
    """What to do; empty where nothing has to be done."""
    detail: str = ""
    """A traceback, as it is."""


def some(told: Sequence[str]) -> str:
    """`a, b, c and 37 more`."""
    shown = ", ".join(told[:SHOWN])
    return f"{shown} and {len(told) - SHOWN} more" if len(told) > SHOWN else shown
