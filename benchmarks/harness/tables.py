"""The table of a chapter: a line for every peer, also for the one that brought no figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.chapter import Chapter
from harness.contestants import Contestant
from harness.figures import Figures, spread
from harness.results import Results, in_one_line
from harness.verdict import SPREAD_LIMIT, short

__all__ = ["Entry", "Table", "beside_table", "entries", "peer_table"]


@dataclass(frozen=True)
class Table:
    """Cells as they are shown, in a terminal and on a page alike."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Entry:
    """One line: a case of a peer, or a peer without one."""

    label: str
    contestant: Contestant
    notes: Sequence[str]
    is_measured: bool


def peer_table(chapter: Chapter, results: Results) -> Table:
    """Medians of every peer's cases, how far rounds of the first figure lie apart, and notes."""
    figures = results.figures(chapter.name)
    rows = []
    for entry in entries(chapter, results):
        values = [column.values(figures, chapter.name, entry.label) for column in chapter.columns]
        cells = [short(statistics.median(each)) if each else "" for each in values]
        apart = spread(values[0]) if values[0] else None
        notes = list(entry.notes)
        if apart is not None and apart > SPREAD_LIMIT:
            notes.insert(0, "UNSTABLE")
        shown_apart = "" if apart is None or len(values[0]) < 2 else f"{apart:.0%}"
        rows.append([entry.label, *cells, shown_apart, "; ".join(notes)])
    headings = [column.heading for column in chapter.columns]
    return Table(chapter.title, ["", *headings, "spread", "notes"], rows)


def beside_table(chapter: Chapter, results: Results) -> Table | None:
    """What was measured beside the peers: limits and yardsticks."""
    figures = results.figures(chapter.name)
    rows = []
    for case in {run.case.name: run.case for run in figures.runs}.values():
        if case.engine != "none":
            continue
        label = chapter.label(case)
        medians = [column.median(figures, chapter.name, label) for column in chapter.beside]
        cells = ["" if median is None else short(median) for median in medians]
        rows.append([label, *cells, "; ".join(_failures(figures, [case.name]))])
    if not rows:
        return None
    headings = [column.heading for column in chapter.beside]
    return Table("Beside them", ["", *headings, "notes"], rows)


def entries(chapter: Chapter, results: Results) -> list[Entry]:
    """A line for every case that shows batches, and one for every peer that has none."""
    figures = results.figures(chapter.name)
    cases = {run.case.name: run.case for run in figures.runs}
    suffixes = [column.suffix for column in chapter.columns if column.suffix]
    found = []
    for contestant in results.contestants:
        labels = [
            chapter.label(case)
            for case in cases.values()
            if case.engine == contestant.name and not case.watch_memory
        ]
        for label in labels:
            names = [f"{chapter.name}: {label}{suffix}" for suffix in ["", *suffixes]]
            notes = _notes(contestant, figures, names, results)
            found.append(Entry(label, contestant, notes, is_measured=True))
        if not labels:
            why = _absence(contestant, chapter, results)
            if why:
                found.append(Entry(contestant.name, contestant, [why], is_measured=False))
    return found


def _notes(
    contestant: Contestant, figures: Figures, names: Sequence[str], results: Results
) -> list[str]:
    notes = [contestant.reservation] if contestant.reservation else []
    if not contestant.ordered:
        notes.append("not in order")
    if not contestant.bounded and not contestant.reservation:
        notes.append("no bound")
    rounds = len([run for run in figures.runs if run.case.name == names[0]])
    if names[0] in results.cuts:
        notes.append(f"{_counted(rounds, 'round')} only: {results.cuts[names[0]]}")
    return [*notes, *_failures(figures, names)]


def _failures(figures: Figures, names: Sequence[str]) -> list[str]:
    """What befell the runs of these cases, alike ones told once."""
    notes = []
    for name in names:
        runs = [run for run in figures.runs if run.case.name == name]
        alike: dict[str, int] = {}
        for run in runs:
            if run.failure is not None:
                text = f"{'WRONG DATA: ' if run.wrong else ''}{in_one_line(run.failure)}"
                alike[text] = alike.get(text, 0) + 1
        for text, count in alike.items():
            notes.append(text if count == len(runs) else f"{count} of {len(runs)} runs: {text}")
    return list(dict.fromkeys(notes))


def _absence(contestant: Contestant, chapter: Chapter, results: Results) -> str:
    if contestant.missing:
        return f"not installed: {', '.join(contestant.missing)}"
    if contestant.is_yardstick:
        return ""  # left out where it has nothing to say
    if results.quick and contestant.name not in (chapter.quick_peers or [contestant.name]):
        return "left out of --quick"
    return "not measured"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
