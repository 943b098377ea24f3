"""What the command prints: the questions with their answers, and what it comes to."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from seqloader.command import words
from seqloader.command.check.facts import Question
from seqloader.command.check.finding import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from seqloader.command.check.facts import Subject
    from seqloader.command.check.finding import Finding
    from seqloader.command.check.settings import Settings

__all__ = ["heading", "print_findings", "summary"]

WIDTH = 100
INDENT = 9
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


def heading(subject: Subject, settings: Settings) -> str:
    """What was checked, and how much of it."""
    length = "an endless Sequence" if subject.length is None else f"{subject.length:,} batches"
    tried = (
        "all of them" if subject.tried == subject.length else words.count(subject.tried, "batch")
    )
    if subject.length is None:
        tried = f"the first {words.count(subject.tried, 'batch')}"
    spread = "" if tried.startswith(("all", "the")) else ", spread over it"
    return (
        f"{settings.target}: {subject.kind}, {length}; tried: {tried}{spread}; seed {settings.seed}"
    )


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """All of them, in the order of the questions; tracebacks at the end."""
    for finding in findings:
        status = Text(f"{finding.status:<{INDENT}}", style=STYLES[finding.status])
        console.print(status + Text(ASKED[finding.question], style="bold"), soft_wrap=True)
        for name, text in (("", finding.seen), ("Why: ", finding.why), ("Do: ", finding.advice)):
            if text:
                console.print(_folded(name, text, console), soft_wrap=True)
        console.print()
    for finding in findings:
        if finding.detail:
            console.print(ASKED[finding.question], style="bold")
            console.print(Text(finding.detail), soft_wrap=True)
            console.print()


def _folded(name: str, text: str, console: Console) -> str:
    """A paragraph, indented; folded here, since a table would be padded with blanks."""
    margin = " " * INDENT
    return textwrap.fill(
        f"{name}{_sentence(text)}.",
        min(WIDTH, console.width),
        initial_indent=margin,
        subsequent_indent=margin + " " * len(name),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _sentence(text: str) -> str:
    """With a capital letter, unless it begins with a name out of a program."""
    word = text.partition(" ")[0].rstrip(",:;")
    return f"{text[:1].upper()}{text[1:]}" if word.isalpha() else text


def summary(findings: Sequence[Finding]) -> str:
    """One line."""
    counts = Counter(finding.status for finding in findings)
    told = [
        words.count(counts[status], noun)
        for status, noun in ((Status.PROBLEM, "problem"), (Status.NOTE, "note"))
    ]
    told.append(f"{counts[Status.OK]} of {len(findings)} ok")
    if counts[Status.UNTRIED]:
        told.append(f"{counts[Status.UNTRIED]} not tried for lack of time (--budget-seconds)")
    return ", ".join(told)
