"""`seqloader check` from beginning to end: put the questions, print what came of them."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
import textwrap
import time
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

import seqloader
from seqloader.command import words
from seqloader.command.check.child import Subject, UnmadeError
from seqloader.command.check.finding import Question, Status
from seqloader.command.check.inquiry import Inquiry
from seqloader.command.check.options import Settings
from seqloader.command.faults import without_enqueuer

__all__ = ["run_check"]

EXIT_PROBLEM, EXIT_UNTRIED = 1, 2
VERSION = 1  # of the document's form
WIDTH, INDENT = 100, 9
ASKED = {
    Question.PICKLING: "Can it be pickled, and how large is it?",
    Question.DETERMINISM: "Is a batch the same each time it is computed?",
    Question.MUTATION: "Does __getitem__ leave the Sequence as it was?",
    Question.BATCHES: "Can all batches be computed, and how do they vary?",
    Question.MEMORY: "Does the memory of a worker stay the same?",
    Question.HOOKS: "Do the hooks behave?",
    Question.RESUME: "Is a run that was saved and resumed the same run?",
    Question.KILLS: "Does it survive workers that are killed?",
}
STYLES = {Status.OK: "green", Status.NOTE: "cyan", Status.PROBLEM: "bold red", Status.UNTRIED: ""}


def run_check(settings: Settings) -> int:
    """Returns the exit status: 1 if there is a problem, 2 if there was no time.

    Raises TargetError: what the command names is no Sequence, and makes none.
    """
    begun_s = time.monotonic()
    inquiry = Inquiry(settings, partial(print, "checking:", file=sys.stderr, flush=True))
    try:
        inquiry.run()
    except UnmadeError as error:
        print(without_enqueuer(str(error), settings.target, settings.arg), file=sys.stderr)
        return EXIT_PROBLEM
    counts = Counter(finding.status for finding in inquiry.findings.values())
    status = EXIT_UNTRIED if counts[Status.UNTRIED] else 0
    status = EXIT_PROBLEM if counts[Status.PROBLEM] else status
    seconds = time.monotonic() - begun_s
    if settings.json:
        print(json.dumps(_document(inquiry, status, seconds), indent=1, default=str))
    else:
        _print(inquiry, counts, seconds)
    return status


def _print(inquiry: Inquiry, counts: Counter[Status], seconds: float) -> None:
    """All findings, in the order of the questions; tracebacks at the end."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDTH
    if inquiry.subject is not None:
        console.print(_heading(inquiry.subject, inquiry.settings), end="\n\n")
    for question, finding in inquiry.findings.items():
        status = Text(f"{finding.status:<{INDENT}}", style=STYLES[finding.status])
        console.print(status + Text(ASKED[question], style="bold"))
        for name, text in (("", finding.seen), ("Why: ", finding.why), ("Do: ", finding.advice)):
            if text:
                console.print(_folded(name, text, min(WIDTH, console.width)))
        console.print()
    for question, finding in inquiry.findings.items():
        if finding.detail:
            console.print(ASKED[question], style="bold")
            console.print(Text(finding.detail), end="\n\n")
    problems = words.count(counts[Status.PROBLEM], "problem")
    notes, late = words.count(counts[Status.NOTE], "note"), counts[Status.UNTRIED]
    untried = f", {late} not tried for lack of time (--budget-seconds)" if late else ""
    all_ok = f"{counts[Status.OK]} of {counts.total()} ok"
    console.print(f"{problems}, {notes}, {all_ok}{untried}; {seconds:.0f} s")


def _heading(subject: Subject, settings: Settings) -> str:
    tried = words.count(subject.tried, "batch")
    if subject.length is None:
        length, tried = "an endless Sequence", f"the first {tried}"
    else:
        length = f"{subject.length:,} batches"
        tried = "all of them" if subject.tried == subject.length else f"{tried}, spread over it"
    return f"{settings.target}: {subject.kind}, {length}; tried: {tried}; seed {settings.seed}"


def _folded(name: str, text: str, width: int) -> str:
    """A paragraph, indented; folded here, since rich would pad it with blanks."""
    first = text.partition(" ")[0].rstrip(",:;")  # it may be a name out of a program
    sentence = f"{text[:1].upper()}{text[1:]}." if first.isalpha() else f"{text}."
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent = " " * INDENT + name
    wrapper.subsequent_indent = " " * len(wrapper.initial_indent)
    return wrapper.fill(sentence)


def _document(inquiry: Inquiry, status: int, seconds: float) -> dict[str, Any]:
    findings = inquiry.findings.items()
    facts = {question: _plain(inquiry.facts.get(question)) for question in inquiry.findings}
    return {
        "version": VERSION,
        "exit_status": status,
        "seconds": round(seconds, 3),
        "versions": {
            "seqloader": seqloader.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "settings": _plain(inquiry.settings),
        "subject": _plain(inquiry.subject),
        "findings": [{"question": q, **each._asdict(), "facts": facts[q]} for q, each in findings],
    }


def _plain(known: Any) -> dict[str, Any] | None:
    return None if known is None else dataclasses.asdict(known)
