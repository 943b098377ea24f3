"""What does moving one batch from a worker to the consumer cost?

Compared    seqloader, multiprocessing.Pool.imap (its input gated to 8 outstanding), a plain loop
Varied      1.3 KB, 38.5 MB (np.full, and seqloader.empty) and 154 MB batches; seed
Measured    batches/s, GB/s, CPU of the consumer and of all processes, memory at the end
Held still  2 workers, 8 batches in flight, what __getitem__ does, what the consumer touches:
            every label, and one element of every page unless "untouched" is said
Method      engines in turn A B C A B C, fresh interpreter each, warm-up not counted, every batch
            checked; ratios are taken within a round; median and spread over the rounds
Not shown   decoding, page cache; epochs.py, startup.py and uneven.py have questions of their own

The consumer's CPU is all of its process: the harness's own check of each batch is part of it, and
is printed beside it. A consumer that is slower than its workers finds many reports in one read; one
that waits pays a wake-up for each batch. So 154 MB is compared with 1.3 KB as both come, and with
1.3 KB batches that come as slowly.

Run         python benchmarks/transport.py [--quick] [--save]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence

from harness.cases import Case
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row, at_least, at_most, told

LARGE = {"batch": 64}
HUGE = {"batch": 256}
SLOW = {"sleep_s": 0.030}  # with 2 workers about as many batches/s as 154 MB of np.full each


def cases(quick: bool) -> Sequence[Case]:
    engines = ("loop", "Pool.imap", "seqloader")
    tiny = [
        *(Case(f"tiny: {engine}", "stream", engine) for engine in engines),
        Case("tiny: seqloader, seed=0", "stream", "seqloader", seed=0),
    ]
    large = [
        *(Case(f"38.5 MB: {engine}", "stream", engine, "Images", LARGE) for engine in engines),
        Case("38.5 MB: seqloader.empty", "stream", "seqloader", "ImagesInArena", LARGE),
    ]
    untouched = [
        dataclasses.replace(case, touch=False)
        for case in (
            Case("untouched: 1.3 KB", "stream", "seqloader"),
            Case("untouched: 1.3 KB, as slow", "stream", "seqloader", "Tiny", SLOW),
            Case("untouched: 154 MB", "stream", "seqloader", "Images", HUGE),
        )
    ]
    beside = [
        Case("pipe, 64 bytes", "pipe"),
        Case("38.5 MB, 1 process", "bandwidth", "none", "Images", LARGE, workers=1),
        Case("38.5 MB, 2 processes", "bandwidth", "none", "Images", LARGE, workers=2),
        Case("check of a 1.3 KB batch", "own_cost"),
        Case("check of a 38.5 MB batch", "own_cost", workload="Images", workload_options=LARGE),
    ]
    return [*tiny, *large, *untouched, *beside]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    def times_pool(name: str, figure: str) -> list[float]:
        pool = f"{name.partition(':')[0]}: Pool.imap"
        return figures.ratios(name, pool, figure)

    seeded = ("tiny: seqloader, seed=0", "tiny: seqloader")
    huge, gb = "untouched: 154 MB", "x Pool.imap in GB/s"
    in_full = times_pool("38.5 MB: seqloader", "gb_per_s")
    in_empty = times_pool("38.5 MB: seqloader.empty", "gb_per_s")
    tiny = times_pool("tiny: seqloader", "batches_per_s")
    tiny_us = figures.values("tiny: seqloader", "consumer_us")
    huge_to_tiny = figures.ratios(huge, "untouched: 1.3 KB", "consumer_us")
    huge_to_slow = figures.ratios(huge, "untouched: 1.3 KB, as slow", "consumer_us")
    seed_us = figures.differences(*seeded, "all_us")
    seeded_rate = figures.ratios(*seeded, "batches_per_s")
    return [
        at_least("tiny batches", tiny, 6, "x", "x Pool.imap in batches/s"),
        at_most("tiny batches, consumer CPU", tiny_us, 15, "us", "us a batch"),
        at_least("38.5 MB by np.full", in_full, 25, "x", gb),
        at_least("38.5 MB in seqloader.empty", in_empty, 60, "x", gb),
        at_most("consumer CPU, 154 MB against 1.3 KB, both untouched", huge_to_tiny, 2, "x"),
        told("the same against 1.3 KB that come as slowly", huge_to_slow, "x"),
        told("what seed=0 adds to a tiny batch, CPU of all processes", seed_us, "us"),
        told("batches/s with seed=0, of those without", seeded_rate, "x"),
    ]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    begins = {
        "Batches": ("tiny", "38.5 MB:", "untouched"),
        "Beside them: a pipe": ("pipe",),
        "Beside them: memory (sum over processes)": ("38.5 MB,",),
        "Beside them: the harness's own check, part of the consumer's CPU": ("check",),
    }
    return {title: [n for n in names if n.startswith(begin)] for title, begin in begins.items()}


if __name__ == "__main__":
    sys.exit(Script("transport", __doc__, cases, rows, tables).main())
