"""What happens when something breaks?

Compared    seqloader, and each peer that is installed
Varied      the fault: workers killed, stopped or poisoned, the consumer killed or interrupted,
            little shared memory, few descriptors, awkward exceptions, broken hooks, and more
Told        the outcome of each trial: complete / clear error / unclear error / leak / hang /
            wrong data; rules and facts are in docs/faults.md
Held still  2 workers, 8 batches in flight; every element of every batch is checked
Method      a fresh program for each trial, in a session of its own, watched by a process that ends
            everything below it; two trials at a time, each with a /dev/shm of its own where that
            is permitted, else one at a time. Where chance decides, there are several trials
Not shown   speed, see suite.py; memory

Run         python benchmarks/faults.py [--quick] [--only FAULT ...] [--peers NAME ...]
            [--trials N] [--pages]

Results are stored after every trial: an interrupted run loses nothing. A run of some faults or
peers replaces theirs, and keeps the others. A quick run has one trial for each cell, results of its
own and no pages; it leaves out two sizes of random kills and two peers that have twins.

The exit status is 1 if seqloader's outcome is anything but the good one.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.contestants import Contestant
from harness.processes import BENCHMARKS
from harness.script import parser_of
from peers import PEERS, Peer
from scoreboard import page
from scoreboard.catalogue import FAULTS, Fault
from scoreboard.cells import Grade, cell_of, faults_of
from scoreboard.facts import SILENT_S, Facts, Trial
from scoreboard.report import draw, progress, show_table
from scoreboard.results import Record, Results
from scoreboard.trials import Trials, plan
from scoreboard.words import tell

from seqloader.command import machine

STORED: Final = BENCHMARKS / "results" / "faults.json"
QUICK: Final = STORED.with_name("faults-quick.json")
DOCS: Final = BENCHMARKS.parent / "docs"

QUICK_SILENT_S: Final = 8.0
"""In a quick run a loader has hung after half the time."""
NOT_QUICK_PEERS: Final = ("Pool.imap, chunks of 4", "torchdata")
"""They do what their twins do: tried in a quick run only if they are named."""
NOT_QUICK_FAULTS: Final = tuple(
    f"worker killed at a random time, {size}" for size in ("1 KB", "38 MB")
)
"""Likewise: one size is enough for a first look."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    stored = QUICK if options.quick else STORED
    if options.pages:
        return _write_pages(Results.load(stored))
    results = Results.load(stored) if options.only or options.peers else Results()
    results.quick = options.quick
    faults = chosen_faults(options)

    _hold(results, faults, options, stored)

    show_table(results)
    print(f"Raw results: {stored.relative_to(BENCHMARKS.parent)}")
    if not options.quick:
        _write_pages(results)
    return own_failures(results, faults)


def _hold(
    results: Results, faults: Sequence[Fault], options: argparse.Namespace, stored: Path
) -> None:
    chosen = chosen_peers(options)
    contestants = [Contestant.of(peer) for peer in chosen]
    results.begin(contestants, machine.describe(), [peer.name for peer in PEERS])
    for contestant in contestants:
        if contestant.missing:
            print(f"{contestant.name}: {contestant.absence}")
    count = options.trials or (1 if options.quick else None)
    silent_s = QUICK_SILENT_S if options.quick else SILENT_S
    trials = plan(faults, [peer for peer in chosen if not peer.missing()], count, silent_s)
    results.replace(trials)
    with progress(len(trials)) as show:

        def done(trial: Trial, facts: Facts) -> None:
            record = Record(trial, facts)
            results.records.append(record)
            results.save(stored)
            show(record)

        try:
            Trials().run(trials, done)
        except KeyboardInterrupt:
            print("interrupted: what was done so far is stored", file=sys.stderr)


def chosen_peers(options: argparse.Namespace) -> list[Peer]:
    if options.peers:
        return [peer for peer in PEERS if peer.name in options.peers]
    left_out = NOT_QUICK_PEERS if options.quick else ()
    return [peer for peer in PEERS if peer.name not in left_out]


def chosen_faults(options: argparse.Namespace) -> list[Fault]:
    if options.only:
        parts = [name.lower() for name in options.only]
        return [f for f in FAULTS if any(part in f.name.lower() for part in parts)]
    left_out = NOT_QUICK_FAULTS if options.quick else ()
    return [fault for fault in FAULTS if fault.name not in left_out]


def _write_pages(results: Results) -> int:
    (DOCS / "faults.md").write_text(page.render(results), encoding="utf-8")
    try:
        draw(results, DOCS / "faults" / "scoreboard.png")
    except ImportError:
        print("no picture: it needs matplotlib", file=sys.stderr)
        return 1
    print("Pages: docs/faults.md, docs/faults/scoreboard.png")
    return 0


def own_failures(results: Results, faults: Sequence[Fault]) -> int:
    """1 if seqloader did not do what it should."""
    status = 0
    ours = [each for each in results.contestants.values() if each.is_ours]
    for fault, contestant in itertools.product(faults_of(results), ours):
        cell = cell_of(results, contestant, fault)
        if fault in faults and cell.grade is not Grade.GOOD and cell.worst is not None:
            told = tell(cell.worst.facts, cell.worst.verdict, fault)
            print(f"NOT GOOD: {fault.name}: {cell.text}: {told}", file=sys.stderr)
            status = 1
    return status


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("faults.py", __doc__)
    add, names = parser.add_argument, [peer.name for peer in PEERS]
    add("--quick", action="store_true", help="a few minutes: less of everything")
    add("--only", nargs="+", metavar="FAULT", help="parts of the faults' names")
    add("--peers", nargs="+", metavar="NAME", choices=names, help="of the tables")
    add("--trials", type=int, help="for each cell, whether chance decides or not")
    add("--pages", action="store_true", help="write the pages from stored results, and no more")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
