"""Is seqloader faster than what you use, on work like yours?

Compared    seqloader, and every peer that is installed (`pip install seqloader[peers]`)
Varied      what a batch is: 1.3 KB to 154 MB, uneven work, epochs, start-up, photographs
Measured    batches/s, GB/s, images/s, CPU of the consumer and of all processes, memory
Held still  2 workers and 8 batches in flight unless a chapter says otherwise; what the consumer
            touches: every label, and one element of every page
Method      a fresh interpreter for each run, peers in turn A B C A B C, warm-up not counted,
            order and content of every batch checked; median and spread over the rounds;
            the machine's limits measured in turn with them
Not shown   training, disks, several machines; faults are in faults.py

Run         python benchmarks/suite.py [--quick] [--only CHAPTER ...] [--peers NAME ...]
            python benchmarks/suite.py --pages      docs/benchmarks.md from the stored results
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chapters import CHAPTERS
from chapters.cases import pace
from harness import page, plots, report
from harness.cases import Case
from harness.chapter import Chapter
from harness.contestants import Contestant
from harness.judge import Judge
from harness.pictures import FOLDER_VARIABLE, cut_pictures
from harness.processes import BENCHMARKS, run_fresh
from harness.results import Results
from harness.schedule import Schedule, Turn
from harness.script import parser_of
from harness.tables import beside_table, peer_table
from harness.verdict import Row
from peers import PEERS, Peer
from rich.progress import TaskProgressColumn

from seqloader.command import machine
from seqloader.command.terminal import bar, plain_console
from seqloader.command.words import clock

RESULTS = BENCHMARKS / "results" / "suite.json"
PART_RESULTS = BENCHMARKS / "results" / "suite-part.json"
QUICK_RESULTS = BENCHMARKS / "results" / "suite-quick.json"
DOCS = BENCHMARKS.parent / "docs"
PICTURES = "jpeg"
"""The chapter whose photographs must be cut first."""
BUDGET_MINUTES = 45.0
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, store; 1 where a batch was wrong or seqloader brought no figure."""
    options = _parse(arguments)
    if options.pages:
        print(_shown_path(make_pages(Results.load(options.results), DOCS)))
        return 0
    results = Results(
        machine.describe(),
        list(map(Contestant.of, _peers(options.peers))),
        command=_command(options),
        quick=options.quick,
    )
    print("\n".join(results.machine.lines()))
    only = tuple(options.only) or ""
    chosen = [chapter for chapter in CHAPTERS if chapter.name.startswith(only)]
    with _pictures(chosen, results) as chapters:
        return Suite(options, chapters, results).run()


class Suite:
    """The runs of the chosen chapters, their tables, and their place on disk."""

    def __init__(
        self, options: argparse.Namespace, chapters: Sequence[Chapter], results: Results
    ) -> None:
        self._path: Path = options.results
        self._results = results
        self._chapters = chapters
        self._schedule = Schedule(
            {each.name: _cases(each, options) for each in chapters},
            rounds=options.rounds or pace(options.quick).rounds,
            budget_s=options.budget_minutes * 60,
            known_s=_earlier_s(self._path, options.quick),
        )
        results.cuts = self._schedule.cuts
        self._begun_s = time.monotonic()

    def run(self) -> int:
        """All chapters, or as many as there are until Ctrl-C."""
        count = sum(map(len, self._schedule.chapters.values()))
        print(f"{count} cases, about {clock(self._schedule.left_s())} minutes")
        status = 0
        for chapter in self._chapters:
            try:
                self._measure(chapter)
            except KeyboardInterrupt:
                print("Interrupted: this is what there is.", file=sys.stderr)
                status = INTERRUPTED
            self._show(chapter)
            if status:
                break
        self._results.finished = not status
        self._save()
        report.show_rows("What was wanted", judged_rows(self._results))
        print(f"{_shown_path(self._path)}, in {clock(self._elapsed_s())} minutes")
        figures = [self._results.figures(each.name) for each in self._chapters]
        return status or max((each.exit_status() for each in figures), default=0)

    def _measure(self, chapter: Chapter) -> None:
        schedule = self._schedule
        round_ = 1
        with bar(plain_console(0, stderr=True), 1.0, TaskProgressColumn()) as draw:
            for turn in schedule.turns(chapter.name):
                if turn.round > round_:
                    schedule.keep_within_budget(chapter.name, round_, self._elapsed_s())
                    round_ = turn.round
                    if turn.case.name in schedule.cuts:
                        continue
                self._say(turn, draw)
                run = dataclasses.replace(run_fresh(turn.case), round=turn.round)
                schedule.ran(run)
                self._results.runs.append(run)
                self._save()

    def _say(self, turn: Turn, draw: Callable[[str, float], None] | None) -> None:
        """What runs now, how much of the suite is behind us, and how long the rest will take."""
        what = f"{turn.case.name}, round {turn.round} of {turn.rounds}"
        elapsed_s, left_s = self._elapsed_s(), self._schedule.left_s()
        share = elapsed_s / (elapsed_s + left_s) if left_s > 0 else 1.0
        left = f"about {clock(left_s)} left"
        if draw is not None:
            draw(f"{left} {what}", share)
            return
        print(f"{clock(elapsed_s)}  {share:4.0%}  {what}  ({left})", file=sys.stderr, flush=True)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _save(self) -> None:
        self._results.took_s = self._elapsed_s()
        self._results.save(self._path)

    def _show(self, chapter: Chapter) -> None:
        for table in (peer_table(chapter, self._results), beside_table(chapter, self._results)):
            if table is not None:
                report.show_table(table)
        report.show_failures(self._results.figures(chapter.name).failures())


def judged_rows(results: Results) -> list[Row]:
    """Every figure that is wanted of seqloader, in the order of the chapters."""
    rows = []
    for chapter in CHAPTERS:
        figures = results.figures(chapter.name)
        if figures.runs:
            judge = Judge(chapter.name, figures, results.contestants, results.quick)
            rows += chapter.rows(judge)
    return rows


def make_pages(results: Results, docs: Path) -> Path:
    """Write the plots and the page of stored results. Measures nothing."""
    for chapter in CHAPTERS:
        plots.draw(chapter, results, docs / "benchmarks")
    path = docs / "benchmarks.md"
    path.write_text(page.text(CHAPTERS, results, judged_rows(results)))
    return path


def _peers(names: Sequence[str] | None) -> list[Peer]:
    return [peer for peer in PEERS if names is None or peer.name in names]


def _cases(chapter: Chapter, options: argparse.Namespace) -> list[Case]:
    """The chapter's cases for the peers that are installed; who is named is measured."""
    few = chapter.quick_peers if options.quick and options.peers is None else None
    peers = [peer for peer in _peers(options.peers) if not peer.missing()]
    return chapter.cases(options.quick, [p for p in peers if few is None or p.name in few])


@contextlib.contextmanager
def _pictures(chapters: Sequence[Chapter], results: Results) -> Iterator[Sequence[Chapter]]:
    """The chapters that can be measured, with the photographs cut where one needs them."""
    if PICTURES not in [each.name for each in chapters]:
        yield chapters
        return
    with tempfile.TemporaryDirectory(prefix="seqloader-pictures-") as folder:
        try:
            cut_pictures(Path(folder))
        except ImportError as error:
            why = f"{error.name} is not installed"
            results.left_out = {PICTURES: why}
            print(f"The chapter {PICTURES} is left out: {why}", file=sys.stderr)
            yield [each for each in chapters if each.name != PICTURES]
            return
        os.environ[FOLDER_VARIABLE] = folder
        yield chapters


def _earlier_s(path: Path, quick: bool) -> dict[str, float]:
    """What runs of stored results took: the best guess there is of what they will take."""
    known_s: dict[str, float] = {}
    for each in (RESULTS, path):
        # There may be none, or they are of another version.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            earlier = Results.load(each)
            if earlier.quick == quick:
                known_s |= {run.case.name: run.took_s for run in earlier.runs}
    return known_s


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("suite.py", __doc__)
    chapters = [each.name for each in CHAPTERS]
    peers = [each.name for each in PEERS]
    add = parser.add_argument
    where = (
        f"stored after every run (default: {_shown_path(RESULTS)}; with --quick"
        f" {QUICK_RESULTS.name}, otherwise where not all is measured {PART_RESULTS.name})"
    )
    some = f"names, or how they begin: {', '.join(chapters)}"
    only = f"only these of {', '.join(map(repr, peers))}"
    budget = "rounds beyond the first are cut after this (default: %(default)g)"
    add("--quick", action="store_true", help="one short round, and not every peer everywhere")
    add("--only", nargs="+", default=[], metavar="CHAPTER", help=some)
    add("--peers", nargs="+", metavar="NAME", choices=peers, help=only)
    add("--rounds", type=int, help="instead of 3, or of 1 with --quick")
    add("--budget-minutes", type=float, default=BUDGET_MINUTES, help=budget)
    add("--results", type=Path, metavar="FILE", help=where)
    pages = "make docs/benchmarks.md of stored results, and end"
    add("--pages", action="store_true", help=pages)
    options = parser.parse_args(arguments)
    for name in options.only:
        if not any(each.startswith(name) for each in chapters):
            parser.error(f"no chapter is named {name!r}; there are {', '.join(chapters)}")
    if options.results is None:
        is_part = options.only or options.peers or options.rounds
        options.results = QUICK_RESULTS if options.quick else PART_RESULTS if is_part else RESULTS
    return options


def _command(options: argparse.Namespace) -> str:
    """What gives such results elsewhere; where they are stored is of this machine only."""
    words = ["python", "benchmarks/suite.py", *(["--quick"] if options.quick else [])]
    for name in ("only", "peers", "rounds"):
        value = getattr(options, name)
        if value:
            words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return shlex.join(words)


def _shown_path(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(BENCHMARKS.parent))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    sys.exit(main())
