"""The page about the judge is drawn from it.

`SEQLOADER_REWRITE_TABLES=1 pytest tests/stats/test_judge_page.py` does so.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from stats.planted import PLANTED

from seqloader.stats.judge import QUESTIONS, judge

PAGE = Path(__file__).parents[2] / "docs/architecture/verdicts.md"


def questions() -> str:
    """Each question, what it asks, and the causes of the planted facts that it answers."""
    rows = []
    for question in QUESTIONS:
        answers = {
            str(cause)
            for cause, known in PLANTED.values()
            if (answer := question(known)) is not None and answer.cause is cause
        }
        asked = " ".join((inspect.getdoc(question) or "").split())
        name = question.__name__.strip("_").replace("_", " ")
        rows.append((name, asked, ", ".join(f"*{each}*" for each in sorted(answers))))
    return table(("question", "yes, where", "cause"), rows)


def verdicts() -> str:
    """What is said of each of the planted facts."""
    rows = []
    for planted, (_, known) in PLANTED.items():
        verdict = judge(known)
        rows.append((planted, f"*{verdict.cause}*: {verdict.seen}", verdict.advice))
    return table(("what is wrong", "verdict", "change"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@pytest.mark.parametrize("name", ["questions", "verdicts"])
def test_table_of_the_page_is_what_the_judge_says(name):
    now = {"questions": questions, "verdicts": verdicts}[name]()
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n\n", "\n<!-- end -->"
    before, rest = page.split(begin)
    drawn, after = rest.split(end, 1)
    if os.environ.get("SEQLOADER_REWRITE_TABLES"):
        PAGE.write_text(f"{before}{begin}{now}{end}{after}", encoding="utf-8")
        return

    assert drawn == now
