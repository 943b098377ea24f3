"""Does one slow batch hold up the others?

Compared    seqloader, multiprocessing.Pool.imap (its input gated to 32 outstanding), a plain loop
Varied      the engine
Measured    seconds for an epoch of 400 items, against the ideal: all work divided by the workers
Held still  4 workers, max_queue_size=32, items of 2 ms (sleeps), every 16th of 40 ms
Method      engines in turn A B C A B C, fresh interpreter each, one epoch of warm-up not counted,
            every batch checked; median and spread
Not shown   smaller windows: with 8 in flight every engine that delivers in order waits for the
            slow item, whatever its scheduling

An engine that delivers in order cannot quite reach the ideal: while a slow item is due, the others
run out of permitted ones. A row says how far from it they must stay that keep to 32 in flight, the
item that the consumer waits for among them; seqloader counts those ahead of it, so that two more
slow items may be in work meanwhile. Nor can an engine win back that a sleep of 2 ms takes a little
longer than 2 ms; the loop's line shows by how much (its ideal is that of one worker).

Run         python benchmarks/uneven.py [--quick] [--save]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from harness.cases import Case
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row
from harness.workloads import Uneven

WORKERS = 4
IN_FLIGHT = 32
ITEMS = Uneven()


def cases(quick: bool) -> Sequence[Case]:
    def case(engine: str, workers: int) -> Case:
        epochs = 1 if engine == "loop" else 2 if quick else 5
        return Case(
            engine,
            "makespan",
            engine,
            "Uneven",
            workers=workers,
            in_flight=IN_FLIGHT,
            epochs=epochs,
        )

    return [
        case("loop", 1),
        case("Pool.imap", WORKERS),
        case("seqloader", WORKERS),
        Case("pipe, 64 bytes", "pipe"),
    ]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    return [
        Row(
            f"{len(ITEMS)} items, {WORKERS} workers, {IN_FLIGHT} in flight",
            "at most 1.15 x the ideal",
            figures.values("seqloader", "over_even_share"),
            "x",
            at_most=1.15,
        ),
        Row("the same by Pool.imap", "", figures.values("Pool.imap", "over_even_share"), "x"),
        Row(
            "32 in flight, the one waited for among them, at best",
            "",
            [ITEMS.ideal_s(WORKERS, IN_FLIGHT) / (ITEMS.work_s() / WORKERS)],
            "x",
        ),
    ]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {"Epochs": [name for name in names if "pipe" not in name], "Beside them": names[-1:]}


if __name__ == "__main__":
    sys.exit(Script("uneven", __doc__, cases, rows, tables).main())
