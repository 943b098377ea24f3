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
from harness.verdict import Row, at_most, told

EPOCHS = 50


def cases(quick: bool) -> Sequence[Case]:
    def case(name: str, workload: str, engine: str) -> Case:
        options = {"length": 20}
        return Case(f"{name}: {engine}", "epochs", engine, workload, options, epochs=EPOCHS)

    unchanging = [case("unchanging", "Tiny", e) for e in ("loop", "Pool.imap", "seqloader")]
    changing = [case("changing", "NewOrderEachEpoch", e) for e in ("loop", "seqloader")]
    return [*unchanging, *changing, Case("pipe, 64 bytes", "pipe")]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    def over_loop(kind: str, engine: str) -> list[float]:
        return figures.differences(f"{kind}: {engine}", f"{kind}: loop", "epoch_ms")

    work, words = f"{EPOCHS} epochs of 20 tiny batches", "ms an epoch over the loop"
    return [
        at_most(work, over_loop("unchanging", "seqloader"), 2, "ms", words),
        told("the same by Pool.imap", over_loop("unchanging", "Pool.imap"), "ms"),
        told("the same with a Sequence that changes", over_loop("changing", "seqloader"), "ms"),
    ]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {"Epochs": names[:-1], "Beside them: a pipe": names[-1:]}


if __name__ == "__main__":
    sys.exit(Script("epochs", __doc__, cases, rows, tables).main())
