"""`seqloader check` from beginning to end: put the questions, say what came of them."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console

from seqloader.command.check.finding import Status
from seqloader.command.check.record import document
from seqloader.command.check.report import WIDTH, heading, print_findings, summary
from seqloader.command.check.session import Session, UnmadeError
from seqloader.command.faults import without_enqueuer

if TYPE_CHECKING:
    from seqloader.command.check.settings import Settings

__all__ = ["EXIT_PROBLEM", "EXIT_UNTRIED", "run_check"]

EXIT_PROBLEM = 1
EXIT_UNTRIED = 2


def run_check(settings: Settings) -> int:
    """Run the command; returns the exit status: 1 if there is a problem, 2 if there was no time.

    Raises:
        TargetError: What the command names is no Sequence, and makes none.
    """
    begun_s = time.monotonic()
    session = Session(settings, _say)
    try:
        session.run()
    except UnmadeError as error:
        print(without_enqueuer(str(error), settings.target, settings.arg), file=sys.stderr)
        return EXIT_PROBLEM
    status = _status(session)
    seconds = time.monotonic() - begun_s
    if settings.json:
        print(document(session, status, seconds))
    else:
        _print(session, settings, seconds)
    return status


def _say(words: str) -> None:
    print(f"checking: {words}", file=sys.stderr, flush=True)


def _status(session: Session) -> int:
    statuses = {finding.status for finding in session.in_order()}
    if Status.PROBLEM in statuses:
        return EXIT_PROBLEM
    return EXIT_UNTRIED if Status.UNTRIED in statuses else 0


def _print(session: Session, settings: Settings, seconds: float) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    if session.subject is not None:
        console.print(heading(session.subject, settings), soft_wrap=True)
        console.print()
    print_findings(session.in_order(), console)
    console.print(f"{summary(session.in_order())}; {seconds:.0f} s", soft_wrap=True)
