"""Tables as they are shown, in a terminal and on a page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.chapter import Chapter
from harness.contestants import Contestant
from harness.figures import Figures
from harness.results import Results, in_one_line
from harness.verdict import Row
from seqloader.command.rounds import SPREAD_LIMIT, spread
from seqloader.command.words import count

WORDS = frozenset({"", "because", "notes", "peer", "reservation", "version", "work"})
"""Headings of columns that hold words, and stand to the left; figures stand to the right."""


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def markdown_table(lines: Iterable[Sequence[str]]) -> str:
    """Heads, ruler and rows as a pipe table."""
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


class Entry(NamedTuple):
    """A line of a chapter's table: a case of a peer, or a peer without one."""

    label: str
    contestant: Contestant
    notes: Sequence[str]


def row_table(rows: Sequence[Row], title: str = "") -> Table:
    """Rows that are judged; what no row says has no column."""
    columns = {
        "work": [row.work for row in rows],
        "wanted": [row.wanted for row in rows],
        "because": [row.basis for row in rows],
        "reached": [row.reached for row in rows],
        "rounds": [row.range for row in rows],
        "verdict": [row.verdict for row in rows],
    }
    shown = {heading: cells for heading, cells in columns.items() if any(cells)}
    return Table(title, list(shown), list(zip(*shown.values(), strict=True)))


def peer_table(chapter: Chapter, results: Results) -> Table:
    """A line for every peer, also for the one that brought no figure.

    Medians of its cases, how far rounds of the first figure lie apart, and notes.
    """
    figures = results.figures(chapter.name)
    rows = []
    for entry in entries(chapter, results):
        cells = [column.cell(figures, chapter.name, entry.label) for column in chapter.columns]
        first = chapter.columns[0].values(figures, chapter.name, entry.label)
        apart = spread(first) if first else 0.0
        notes = [*(["UNSTABLE"] if apart > SPREAD_LIMIT else []), *entry.notes]
        shown_apart = f"{apart:.0%}" if len(first) > 1 else ""
        rows.append([entry.label, *cells, shown_apart, "; ".join(notes)])
    headings = [column.heading for column in chapter.columns]
    return Table(chapter.title, ["", *headings, "spread", "notes"], rows)


def beside_table(chapter: Chapter, results: Results) -> Table | None:
    """What was measured beside the peers: limits and yardsticks."""
    figures = results.figures(chapter.name)
    rows = []
    for case in figures.cases.values():
        if case.engine == "none":
            label = chapter.label(case)
            cells = [column.cell(figures, chapter.name, label) for column in chapter.beside]
            rows.append([label, *cells, "; ".join(_failures(figures, [case.name]))])
    headings = [column.heading for column in chapter.beside]
    return Table("Beside them", ["", *headings, "notes"], rows) if rows else None


def entries(chapter: Chapter, results: Results) -> list[Entry]:
    """A line for every case that shows batches, and one for every peer that has none."""
    figures = results.figures(chapter.name)
    suffixes = ["", *(column.suffix for column in chapter.columns if column.suffix)]
    found = []
    for contestant in results.contestants:
        labels = [
            chapter.label(case)
            for case in figures.cases.values()
            if case.engine == contestant.name and not case.watch_memory
        ]
        for label in labels:
            names = [f"{chapter.name}: {label}{suffix}" for suffix in suffixes]
            found.append(Entry(label, contestant, _notes(contestant, figures, names, results)))
        why = "" if labels else _absence(contestant, chapter, results)
        if why:
            found.append(Entry(contestant.name, contestant, [why]))
    return found


def _notes(
    contestant: Contestant, figures: Figures, names: Sequence[str], results: Results
) -> list[str]:
    notes = [contestant.reservation] if contestant.reservation else []
    if not contestant.ordered:
        notes.append("not in order")
    if not contestant.bounded and not contestant.reservation:
        notes.append("no bound")
    if names[0] in results.cuts:
        rounds = sum(run.case.name == names[0] for run in figures.runs)
        notes.append(f"{count(rounds, 'round')} only: {results.cuts[names[0]]}")
    return [*notes, *_failures(figures, names)]


def _failures(figures: Figures, names: Sequence[str]) -> list[str]:
    """What befell the runs of these cases, alike ones told once."""
    notes = []
    for name in names:
        runs = [run for run in figures.runs if run.case.name == name]
        alike = Counter(
            f"{'WRONG DATA: ' if run.wrong else ''}{in_one_line(run.failure)}"
            for run in runs
            if run.failure is not None
        )
        for text, number in alike.items():
            notes.append(text if number == len(runs) else f"{number} of {len(runs)} runs: {text}")
    return list(dict.fromkeys(notes))


def _absence(contestant: Contestant, chapter: Chapter, results: Results) -> str:
    if contestant.missing or contestant.is_yardstick:
        return contestant.absence  # a yardstick is left out where it has nothing to say
    few = chapter.quick_peers if results.quick else None
    return "not measured" if few is None or contestant.name in few else "left out of --quick"
