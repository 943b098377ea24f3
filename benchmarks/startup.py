"""What does it take to start workers on a Sequence that holds 1 GB?

Compared    seqloader, multiprocessing.Pool.imap with fork (its children share the array by
            inheritance, which is the least memory there is), a plain loop
Varied      nothing; --quick holds 256 MB instead of 1 GB
Measured    seconds to the first batch, to the end of one epoch that walks the whole array, and the
            most memory of all processes together
Held still  4 workers, 8 batches in flight, 64 small batches
Method      engines in turn A B C A B C, fresh interpreter each, every batch checked; median and
            spread. Memory is PSS plus shared memory files counted once, sampled from outside
            every 50 ms from start to end, in runs of its own, since sampling takes time
Not shown   spawned pools, which pickle the array once for each worker

Run         python benchmarks/startup.py [--quick] [--save]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence

from harness.cases import Case
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row, told

WORKERS = 4
ALLOWED_BESIDE_MB = 400


def array_mb(quick: bool) -> int:
    return 256 if quick else 1000


def cases(quick: bool) -> Sequence[Case]:
    holds = {"nbytes": array_mb(quick) * 1_000_000}
    timed = [
        Case(engine, "first_batch", engine, "HoldsArray", holds, workers=WORKERS)
        for engine in ("loop", "Pool.imap", "seqloader")
    ]
    watched = [
        dataclasses.replace(case, name=f"{case.name}, watched", watch_memory=True) for case in timed
    ]
    return [*timed, *watched]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    array = array_mb(quick)
    most = 2 * array + ALLOWED_BESIDE_MB
    memory = Row(
        f"memory of all processes, {WORKERS} workers, an array of {array:,.0f} MB",
        f"at most 2 x the array + {ALLOWED_BESIDE_MB} MB = {most:,.0f} MB",
        figures.values("seqloader, watched", "peak_memory_mb"),
        "MB",
        at_most=most,
    )
    first = told("time to the first batch", figures.values("seqloader", "first_batch_s"), "s")
    return [memory, first]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {"Start-up": names}


SCRIPT = Script("startup", __doc__, cases, rows, tables)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
