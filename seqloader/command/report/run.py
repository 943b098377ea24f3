"""The shell of `seqloader report`: a trace in, a page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloader.command.report.facts import facts_of
from seqloader.command.report.page import page_of
from seqloader.command.report.reading import read_events
from seqloader.command.report.summary import headline

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["run_report"]


def run_report(trace: Path, output: Path | None) -> int:
    """Write the page of a trace; returns the exit status.

    Args:
        output: where it goes; None: beside the trace, with another ending.

    Raises:
        NotATraceError, OSError: it cannot be read or written.
    """
    facts = facts_of(*read_events(trace))
    page = trace.with_suffix(".html") if output is None else output
    page.write_text(page_of(facts, source=trace.name), encoding="utf-8")
    print(headline(facts))
    if facts.verdict:
        print(facts.verdict)
    print(f"written: {page}")
    return 0
