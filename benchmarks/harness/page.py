"""docs/benchmarks.md, written from stored results: no figure on it was typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.chapter import Chapter
from harness.judge import LIMIT_SHARE
from harness.plots import bars, file_name
from harness.progress import clock
from harness.report import row_cells
from harness.results import Results
from harness.schedule import SLOW_S
from harness.tables import Table, beside_table, peer_table
from harness.verdict import SPREAD_LIMIT, Row

__all__ = ["text"]

TEXTS = frozenset({"", "because", "work", "peer", "version", "reservation"})
"""Columns that hold words."""

GENERATED = (
    "<!-- Generated from benchmarks/results/suite.json by `python benchmarks/suite.py --pages`:"
    " do not edit. -->"
)


def text(
    chapters: Sequence[Chapter],
    results: Results,
    rows: Sequence[Row],
    reasons: Mapping[str, str],
) -> str:
    """The whole page."""
    measured = [each for each in chapters if results.figures(each.name).runs]
    parts = [
        GENERATED,
        "# Benchmarks",
        "How fast are batches delivered, beside the loaders that people use? Everything here was"
        f" measured in one run of `{results.command}` ({results.measured},"
        f" {clock(results.took_s)} minutes); the page and its plots are generated from what it"
        " stored, `benchmarks/results/suite.json`.",
        _warning(chapters, results),
        _machine(results),
        _method(results),
        _peers(results),
        _judged(rows, reasons),
        *(_chapter(each, results) for each in measured),
        _caveats(),
        _how_to(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _warning(chapters: Sequence[Chapter], results: Results) -> str:
    """What is missing from these results, said first."""
    said = []
    if results.quick:
        said.append("Measured with `--quick`: one short round, so the figures are rough.")
    if not results.is_finished:
        said.append("The run was interrupted: what it had measured until then is shown.")
    for name, why in results.left_out.items():
        said.append(f"The chapter {name} is missing: {why}.")
    absent = [
        each.name
        for each in chapters
        if not results.figures(each.name).runs and each.name not in results.left_out
    ]
    if absent:
        said.append(f"Not measured in this run: {', '.join(absent)}.")
    if not said:
        return ""
    return '!!! warning "Not a full run"\n\n' + "\n\n".join(f"    {each}" for each in said)


def _machine(results: Results) -> str:
    lines = "\n".join(f"- {line}" for line in results.machine.lines())
    return f"## The machine\n\n{lines}"


def _method(results: Results) -> str:
    rounds = max((run.round for run in results.runs), default=1)
    return f"""## How it was measured

- Each run has a fresh interpreter. The cases of a chapter take turns, A B C A B C, for up to
  {rounds} round{"s" if rounds > 1 else ""}. A case whose run takes longer than {SLOW_S:g} s is
  measured once, and its row says so; start-up and uneven work of peers are measured twice.
- Warm-up is not counted. Throughput is measured in mid-epoch: what was computed ahead before the
  window counts for the run, what is computed ahead at its end against it.
- Order and content of every batch are checked. The consumer reads every label and one element of
  every page; that is part of its CPU, and *the check of a batch* says how much.
- Figures are medians of the rounds; *spread* is (largest - smallest) / median. A row beyond
  {SPREAD_LIMIT:.0%} is marked UNSTABLE.
- Two workers and 8 batches in flight, unless a chapter says otherwise.
- CPU is that of the consumer's process, and of all processes together. Memory is PSS plus shared
  memory files, counted once, of all processes; it is read after the timing, while the queue is
  full.
- The limits of the machine take turns with the peers: processes that fill and copy buffers which
  are mapped already and used in turn, as many as there are batches in flight."""


def _peers(results: Results) -> str:
    rows = [
        [
            each.name,
            each.version or f"not installed: {', '.join(each.missing)}",
            _yes(each.ordered and not each.is_yardstick, each.is_yardstick),
            _yes(each.bounded and not each.is_yardstick, each.is_yardstick),
            "a yardstick, not a competitor" if each.is_yardstick else each.reservation,
        ]
        for each in results.contestants
    ]
    columns = ["peer", "version", "keeps the order", "keeps the bound", "reservation"]
    words = (
        "## The peers\n\nEach is configured as its own documentation recommends; the docstring of"
        " its file in `benchmarks/peers/` says how and why. *The best peer* below is the best of"
        " those that keep both order and bound."
    )
    return f"{words}\n\n{markdown(Table('', columns, rows))}"


def _yes(value: bool, is_yardstick: bool) -> str:
    if is_yardstick:
        return ""
    return "yes" if value else "no"


def _judged(rows: Sequence[Row], reasons: Mapping[str, str]) -> str:
    if not rows:
        return ""
    headings, cells = row_cells(rows)
    words = (
        "## What was wanted, and what was reached\n\nWhere a multiple of the best peer would exceed"
        f" what the machine can do, {LIMIT_SHARE:g} of the limit that was measured in the same run"
        " counts. *ok*: the median reaches it."
    )
    unreached = [
        f"- **{row.work}**: {reasons[row.work]}"
        for row in rows
        if row.verdict not in ("", "ok") and row.work in reasons
    ]
    parts = [words, markdown(Table("", headings, cells))]
    if unreached:
        parts += ["Why rows are not reached:", "\n".join(unreached)]
    return "\n\n".join(parts)


def _chapter(chapter: Chapter, results: Results) -> str:
    parts = [f"## {chapter.title}", chapter.text]
    for plot in chapter.plots:
        shown = [bar for bar in bars(chapter, plot, results) if bar.values]
        if shown:
            words = f"{chapter.title}: {plot.column.heading}, a bar for each peer"
            parts.append(f"![{words}](benchmarks/{file_name(chapter, plot)})")
    parts.append(markdown(peer_table(chapter, results)))
    beside = beside_table(chapter, results)
    if beside is not None:
        parts += [f"{beside.title}:", markdown(beside)]
    return "\n\n".join(parts)


def _caveats() -> str:
    return """## What these figures do not say

- They are those of one machine with few cores. Ratios travel better than figures, and neither
  travels far: run the suite on yours.
- All but the photographs measure transport: `__getitem__` does next to nothing. Where your own
  takes long, every loader that keeps its workers busy is about equally fast; the photographs show
  that case.
- Nothing trains here. A consumer that computes competes with the workers for cores and memory.
- Peers do more than hand over batches: collating, sampling, transforms, several machines. What
  they cost for that is not separated.
- A plain loop is a yardstick for cost, not a competitor: it computes nothing ahead."""


def _how_to() -> str:
    return """## Run it yourself

```bash
pip install -e ".[bench,peers]"
python benchmarks/suite.py            # everything; --quick takes three minutes
python benchmarks/suite.py --pages    # this page and its plots, from the stored results
```

`--only images jpeg` measures some chapters, `--peers loop "SPDL arena" seqloader` some peers. A
peer that is not installed is listed as such. Results are stored after every run, so Ctrl-C loses
nothing."""


def markdown(table: Table) -> str:
    """As a pipe table; text to the left, figures to the right, notes below the name of the row."""
    columns, rows = list(table.columns), [[_cell(cell) for cell in row] for row in table.rows]
    if columns[-1] == "notes":
        columns.pop()
        rows = [[_with_note(name, note), *cells] for name, *cells, note in rows]
    ruler = [":--" if column in TEXTS else "--:" for column in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ruler, *rows])


def _with_note(name: str, note: str) -> str:
    return f"{name}<br><small>{note}</small>" if note else name


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
