"""Adds up the events of a trial, and makes facts of them. Pure."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scoreboard.catalogue import Fault
from scoreboard.facts import Facts, Raised

TAIL_CHARS: Final = 1500
TEXT_CHARS: Final = 3000

_PHASES: Final = {
    "opening": "starting",
    "ready": "waiting for the first batch",
    "epoch": "iterating",
    "again": "iterating again",
    "closing": "closing",
    "leaving": "the interpreter ended",
    "closed": "the interpreter ended",
}
_SCRUBBED: Final = (
    (r"\S*/t-\w{8}\b", "<trial>"),
    (re.escape(str(Path(__file__).resolve().parents[2])), "<repository>"),
    ("|".join(map(re.escape, {sys.prefix, sys.base_prefix})), "<python>"),
    (re.escape(str(Path.home())) + r"(?=/)", "<home>"),
    (rf"\b{re.escape(socket.gethostname())}\b", "<host>"),
    (r"\b\d{1,3}(\.\d{1,3}){3}\b", "<address>"),
    (r"\x1b\[[0-9;]*[A-Za-z]", ""),
)


class Account:
    """The events of one program, in their order."""

    def __init__(self, fault: Fault, begun: float) -> None:
        self.delivered: list[int] = []
        self._fault = fault
        self._begun = begun
        self._phase = "starting"
        self._raised: list[Mapping[str, Any]] = []
        self._first: dict[str, Mapping[str, Any]] = {}
        """The first event of each name."""

    @property
    def is_ready(self) -> bool:
        return "ready" in self._first

    def add(self, event: Mapping[str, Any]) -> None:
        """One event more."""
        name = event["event"]
        self._phase = _PHASES.get(name, self._phase)
        self._first.setdefault(name, event)
        if name == "epoch":
            self.delivered.append(0)
        elif name == "batch":
            self.delivered[-1] += 1
        elif name == "raised":
            self._raised.append(event)

    def facts(
        self,
        *,
        status: int | None,
        ended: float,
        struck: float | None,
        errors: bytes,
        left: tuple[Sequence[str], Sequence[str]],
        worker_pids: Sequence[int],
    ) -> Facts:
        """What was seen, when the program has ended or was given up."""
        first = self._first
        printed = errors.decode(errors="replace")
        leaving, counted = first.get("leaving"), first.get("counted", {})
        noise = errors[leaving["printed"] :].decode(errors="replace") if leaving else ""
        mark = leaving["at"] if leaving else struck
        raised = [*(_raised(event, struck) for event in self._raised), None, None]
        again = "again" in first
        return Facts(
            options=dict(first.get("opening", {}).get("options", {})),
            struck=struck is not None,
            hung=status is None,
            phase=self._phase,
            length=self._fault.length,
            delivered=tuple(self.delivered),
            whole="delivered" in first,
            wrong=first.get("wrong", {}).get("what", ""),
            raised=raised[0],
            again=again,
            raised_again=raised[1] if again else None,
            exit_status=status,
            wanted_status=leaving["status"] if leaving else None,
            seconds=round(ended - self._begun, 2),
            ended_after_s=None if mark is None or status is None else round(ended - mark, 2),
            tracebacks=printed.count("Traceback (most recent call last)"),
            lines=len(printed.splitlines()),
            noise=scrub(noise)[:TAIL_CHARS],
            stderr_tail=scrub(printed[-TAIL_CHARS:]),
            counted_before=dict(counted.get("before", {})),
            counted_after=dict(counted.get("after", {})),
            left_processes=tuple(left[0]),
            left_files=tuple(map(scrub, left[1])),
            worker_pids=tuple(worker_pids),
        )


def _raised(event: Mapping[str, Any], struck: float | None) -> Raised:
    return Raised(
        type=event["type"],
        message=scrub(event["message"])[:TEXT_CHARS],
        text=scrub(event["text"])[:TEXT_CHARS],
        own=event["own"],
        after_s=None if struck is None else round(event["at"] - struck, 2),
    )


def scrub(text: str) -> str:
    """The text, fit to be published: without names of this machine, its paths and addresses."""
    for pattern, word in _SCRUBBED:
        text = re.sub(pattern, word, text)
    return text
