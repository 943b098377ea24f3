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
from harness.verdict import Row, at_most, told
from harness.workloads import Uneven

WORKERS = 4
IN_FLIGHT = 32
ITEMS = Uneven()


def cases(quick: bool) -> Sequence[Case]:
    def case(engine: str, workers: int, epochs: int) -> Case:
        counts = {"workers": workers, "in_flight": IN_FLIGHT, "epochs": epochs}
        return Case(engine, "makespan", engine, "Uneven", **counts)  # type: ignore[arg-type]

    epochs = 2 if quick else 5
    engines = [case("Pool.imap", WORKERS, epochs), case("seqloader", WORKERS, epochs)]
    return [case("loop", 1, 1), *engines, Case("pipe, 64 bytes", "pipe")]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    ours, pool = (figures.values(name, "over_even_share") for name in ("seqloader", "Pool.imap"))
    strict = ITEMS.ideal_s(WORKERS, IN_FLIGHT) / (ITEMS.work_s() / WORKERS)
    work = f"{len(ITEMS)} items, {WORKERS} workers, {IN_FLIGHT} in flight"
    return [
        at_most(work, ours, 1.15, "x", "x the ideal"),
        told("the same by Pool.imap", pool, "x"),
        told("32 in flight, the one waited for among them, at best", [strict], "x"),
    ]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {"Epochs": names[:-1], "Beside them": names[-1:]}


SCRIPT = Script("uneven", __doc__, cases, rows, tables)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
