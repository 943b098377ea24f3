"""Adds up the events of a trial, and makes facts of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from scoreboard.catalogue import Fault
from scoreboard.facts import Facts, Raised
from scoreboard.scrub import scrub

__all__ = ["Account"]

TAIL_CHARS: Final = 1500
TEXT_CHARS: Final = 3000


class Account:
    """The events of one program, in their order."""

    def __init__(self, fault: Fault, begun: float) -> None:
        self.delivered: list[int] = []
        self.is_ready = False
        self._fault = fault
        self._begun = begun
        self._options: Mapping[str, Any] = {}
        self._phase = "starting"
        self._wrong = ""
        self._raised: list[Mapping[str, Any]] = []
        self._again = False
        self._whole = False
        self._leaving: Mapping[str, Any] | None = None
        self._counted: Mapping[str, Any] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """One event more."""
        name = event["event"]
        self._phase = _PHASES.get(name, self._phase)
        if name == "opening":
            self._options = event["options"]
        elif name == "ready":
            self.is_ready = True
        elif name == "epoch":
            self.delivered.append(0)
        elif name == "batch":
            self.delivered[-1] += 1
        elif name == "wrong":
            self._wrong = self._wrong or event["what"]
        elif name == "raised":
            self._raised.append(event)
        elif name == "again":
            self._again = True
        elif name == "delivered":
            self._whole = True
        elif name == "leaving":
            self._leaving = event
        elif name == "counted":
            self._counted = event

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
        printed = errors.decode(errors="replace")
        leaving = self._leaving
        noise = errors[leaving["printed"] :].decode(errors="replace") if leaving else ""
        mark = leaving["at"] if leaving else struck
        raised = [_raised(event, struck) for event in self._raised]
        return Facts(
            options=dict(self._options),
            struck=struck is not None,
            hung=status is None,
            phase=self._phase,
            length=self._fault.length,
            delivered=tuple(self.delivered),
            whole=self._whole,
            wrong=self._wrong,
            raised=raised[0] if raised else None,
            again=self._again,
            raised_again=raised[1] if self._again and len(raised) > 1 else None,
            exit_status=status,
            wanted_status=leaving["status"] if leaving else None,
            seconds=round(ended - self._begun, 2),
            ended_after_s=None if mark is None or status is None else round(ended - mark, 2),
            tracebacks=printed.count("Traceback (most recent call last)"),
            lines=len(printed.splitlines()),
            noise=scrub(noise)[:TAIL_CHARS],
            stderr_tail=scrub(printed[-TAIL_CHARS:]),
            counted_before=dict(self._counted["before"]) if self._counted else {},
            counted_after=dict(self._counted["after"]) if self._counted else {},
            left_processes=tuple(left[0]),
            left_files=tuple(map(scrub, left[1])),
            worker_pids=tuple(worker_pids),
        )


_PHASES: Final = {
    "opening": "starting",
    "ready": "waiting for the first batch",
    "epoch": "iterating",
    "again": "iterating again",
    "closing": "closing",
    "leaving": "the interpreter ended",
    "closed": "the interpreter ended",
}


def _raised(event: Mapping[str, Any], struck: float | None) -> Raised:
    return Raised(
        type=event["type"],
        message=scrub(event["message"])[:TEXT_CHARS],
        text=scrub(event["text"])[:TEXT_CHARS],
        own=event["own"],
        after_s=None if struck is None else round(event["at"] - struck, 2),
    )
