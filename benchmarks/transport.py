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
from harness.verdict import Row

LARGE = {"batch": 64}
HUGE = {"batch": 256}
SLOW = {"sleep_s": 0.030}  # with 2 workers about as many batches/s as 154 MB of np.full each


def cases(quick: bool) -> Sequence[Case]:
    tiny = [
        Case("tiny: loop", "stream", "loop"),
        Case("tiny: Pool.imap", "stream", "Pool.imap"),
        Case("tiny: seqloader", "stream", "seqloader"),
        Case("tiny: seqloader, seed=0", "stream", "seqloader", seed=0),
    ]
    large = [
        Case("38.5 MB: loop", "stream", "loop", "Images", LARGE),
        Case("38.5 MB: Pool.imap", "stream", "Pool.imap", "Images", LARGE),
        Case("38.5 MB: seqloader", "stream", "seqloader", "Images", LARGE),
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
    return [
        Row(
            "tiny batches",
            "at least 6 x Pool.imap in batches/s",
            figures.ratios("tiny: seqloader", "tiny: Pool.imap", "batches_per_s"),
            "x",
            at_least=6,
        ),
        Row(
            "tiny batches, consumer CPU",
            "at most 15 us a batch",
            figures.values("tiny: seqloader", "consumer_us"),
            "us",
            at_most=15,
        ),
        Row(
            "38.5 MB by np.full",
            "at least 25 x Pool.imap in GB/s",
            figures.ratios("38.5 MB: seqloader", "38.5 MB: Pool.imap", "gb_per_s"),
            "x",
            at_least=25,
        ),
        Row(
            "38.5 MB in seqloader.empty",
            "at least 60 x Pool.imap in GB/s",
            figures.ratios("38.5 MB: seqloader.empty", "38.5 MB: Pool.imap", "gb_per_s"),
            "x",
            at_least=60,
        ),
        Row(
            "consumer CPU, 154 MB against 1.3 KB, both untouched",
            "at most 2 x",
            figures.ratios("untouched: 154 MB", "untouched: 1.3 KB", "consumer_us"),
            "x",
            at_most=2,
        ),
        Row(
            "the same against 1.3 KB that come as slowly",
            "",
            figures.ratios("untouched: 154 MB", "untouched: 1.3 KB, as slow", "consumer_us"),
            "x",
        ),
        Row(
            "what seed=0 adds to a tiny batch, CPU of all processes",
            "",
            figures.differences("tiny: seqloader, seed=0", "tiny: seqloader", "all_us"),
            "us",
        ),
        Row(
            "batches/s with seed=0, of those without",
            "",
            figures.ratios("tiny: seqloader, seed=0", "tiny: seqloader", "batches_per_s"),
            "x",
        ),
    ]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    streams = [name for name in names if name.startswith(("tiny", "38.5 MB:", "untouched"))]
    return {
        "Batches": streams,
        "Beside them: a pipe": ["pipe, 64 bytes"],
        "Beside them: memory (sum over processes)": [
            name for name in names if name.startswith("38.5 MB,")
        ],
        "Beside them: the harness's own check, part of the consumer's CPU": [
            name for name in names if name.startswith("check")
        ],
    }


if __name__ == "__main__":
    sys.exit(Script("transport", __doc__, cases, rows, tables).main())
