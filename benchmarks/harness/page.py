"""docs/benchmarks.md, written from stored results: no figure on it was typed by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from harness.chapter import Chapter
from harness.judge import LIMIT_SHARE
from harness.plots import bars, file_name
from harness.results import Results
from harness.schedule import SLOW_S
from harness.tables import WORDS, Table, beside_table, markdown_table, peer_table, row_table
from harness.verdict import Row
from seqloader.command.rounds import SPREAD_LIMIT
from seqloader.command.words import clock, count

TEMPLATES = Path(__file__).resolve().parent.parent / "pages"


def fill(page: str, **parts: str) -> str:
    """The page of that name, its places filled; an empty part leaves no gap."""
    template = Template((TEMPLATES / page).read_text(encoding="utf-8"))
    return re.sub(r"\n{3,}", "\n\n", template.substitute(parts))


def text(chapters: Sequence[Chapter], results: Results, rows: Sequence[Row]) -> str:
    """The whole page."""
    measured = [each for each in chapters if results.figures(each.name).runs]
    return fill(
        "benchmarks.md",
        command=results.command,
        measured=results.measured,
        took=clock(results.took_s),
        warning=_warning(chapters, results),
        machine="\n".join(f"- {line}" for line in results.machine.lines()),
        rounds=count(max((run.round for run in results.runs), default=1), "round"),
        slow=f"{SLOW_S:g}",
        spread_limit=f"{SPREAD_LIMIT:.0%}",
        peers=_peers(results),
        judged=_judged(rows) if rows else "",
        chapters="\n\n".join(_chapter(each, results) for each in measured),
    )


def _warning(chapters: Sequence[Chapter], results: Results) -> str:
    """What is missing from these results, said first."""
    said = [f"The chapter {name} is missing: {why}." for name, why in results.left_out.items()]
    if not results.finished:
        said.insert(0, "The run was interrupted: what it had measured until then is shown.")
    if results.quick:
        said.insert(0, "Measured with `--quick`: one short round, so the figures are rough.")
    absent = [each.name for each in chapters if not results.figures(each.name).runs]
    absent = [name for name in absent if name not in results.left_out]
    if absent:
        said.append(f"Not measured in this run: {', '.join(absent)}.")
    head = ['!!! warning "Not a full run"'] if said else []
    return "\n\n".join([*head, *(f"    {each}" for each in said)])


def _peers(results: Results) -> str:
    rows = []
    for each in results.contestants:
        keeps = ["yes" if kept else "no" for kept in (each.ordered, each.bounded)]
        facts = [*keeps, each.reservation]
        if each.is_yardstick:
            facts = ["", "", "a yardstick, not a competitor"]
        rows.append([each.name, each.version or each.absence, *facts])
    columns = ["peer", "version", "keeps the order", "keeps the bound", "reservation"]
    return markdown(Table("", columns, rows))


def _judged(rows: Sequence[Row]) -> str:
    unreached = [f"- **{row.work}**: {row.excuse}" for row in rows if row.excuse]
    parts = [
        "## What was wanted, and what was reached",
        "Where a multiple of the best peer would exceed what the machine can do,"
        f" {LIMIT_SHARE:g} of the limit that was measured in the same run counts. *ok*: the median"
        " reaches it.",
        markdown(row_table(rows)),
    ]
    if unreached:
        parts += ["Why rows are not reached:", "\n".join(unreached)]
    return "\n\n".join(parts)


def _chapter(chapter: Chapter, results: Results) -> str:
    parts = [f"## {chapter.title}", chapter.text]
    for plot in chapter.plots:
        if any(bar.values for bar in bars(chapter, plot, results)):
            words = f"{chapter.title}: {plot.column.heading}, a bar for each peer"
            parts.append(f"![{words}](benchmarks/{file_name(chapter, plot)})")
    parts.append(markdown(peer_table(chapter, results)))
    if (beside := beside_table(chapter, results)) is not None:
        parts += [f"{beside.title}:", markdown(beside)]
    return "\n\n".join(parts)


def markdown(table: Table) -> str:
    """As a pipe table; notes stand below the name of their row."""
    rows = [[cell.replace("<", "&lt;") for cell in row] for row in table.rows]
    columns = list(table.columns)
    if columns[-1] == "notes":
        columns.pop()
        rows = [
            [f"{name}<br><small>{note}</small>" if note else name, *cells]
            for name, *cells, note in rows
        ]
    ruler = [":--" if column in WORDS else "--:" for column in columns]
    return markdown_table([columns, ruler, *rows])
