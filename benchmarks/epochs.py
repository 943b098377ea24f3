"""What does the turn from one epoch to the next cost?

Compared    seqloader, multiprocessing.Pool.imap on one pool that is kept, a plain loop
Varied      a Sequence that never changes; one whose on_epoch_end reorders 1,000 numbers
Measured    milliseconds an epoch, less what the plain loop takes; time to an epoch's first batch
Held still  20 tiny batches an epoch, 50 epochs, 2 workers, 8 batches in flight
Method      engines in turn A B C A B C, fresh interpreter each, two epochs of warm-up not counted,
            every batch checked; differences are taken within a round; median and spread
Not shown   the peers' pools that are made anew each epoch; large states (startup.py)

Pool.imap is run with the unchanging Sequence only: its forked workers would never see a change.

Run         python benchmarks/epochs.py [--quick] [--save]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from harness.cases import Case
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row

EPOCHS = 50
TWENTY = {"length": 20}


def cases(quick: bool) -> Sequence[Case]:
    def case(name: str, engine: str, workload: str = "Tiny") -> Case:
        return Case(name, "epochs", engine, workload, TWENTY, epochs=EPOCHS)

    return [
        case("unchanging: loop", "loop"),
        case("unchanging: Pool.imap", "Pool.imap"),
        case("unchanging: seqloader", "seqloader"),
        case("changing: loop", "loop", "NewOrderEachEpoch"),
        case("changing: seqloader", "seqloader", "NewOrderEachEpoch"),
        Case("pipe, 64 bytes", "pipe"),
    ]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    return [
        Row(
            f"{EPOCHS} epochs of 20 tiny batches",
            "at most 2 ms an epoch over the loop",
            figures.differences("unchanging: seqloader", "unchanging: loop", "epoch_ms"),
            "ms",
            at_most=2,
        ),
        Row(
            "the same by Pool.imap",
            "",
            figures.differences("unchanging: Pool.imap", "unchanging: loop", "epoch_ms"),
            "ms",
        ),
        Row(
            "the same with a Sequence that changes",
            "",
            figures.differences("changing: seqloader", "changing: loop", "epoch_ms"),
            "ms",
        ),
    ]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {
        "Epochs": [name for name in names if "changing" in name],
        "Beside them: a pipe": ["pipe, 64 bytes"],
    }


if __name__ == "__main__":
    sys.exit(Script("epochs", __doc__, cases, rows, tables).main())
