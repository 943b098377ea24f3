"""What does the turn from one epoch to the next cost?"""

from __future__ import annotations

from collections.abc import Sequence

from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row, at_most
from peers import Peer

from chapters.cases import paced

__all__ = ["EPOCHS"]

COUNT = 50
BATCHES = 20
LOOP = "loop"
OVER_LOOP = Column("epoch_ms", "ms over the loop", less=LOOP)


def _cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    options, epochs = {"length": BATCHES}, 10 if quick else COUNT
    return paced(
        quick,
        *(
            Case(f"epochs: {p.name}", "epochs", p.name, workload_options=options, epochs=epochs)
            for p in peers
        ),
    )


def _rows(judge: Judge) -> list[Row]:
    over_loop = judge.figures.differences(judge.name(OURS), judge.name(LOOP), "epoch_ms")
    work, basis = f"epochs of {BATCHES} tiny batches", "over what the plain loop takes"
    return [at_most(work, over_loop, 1, "ms", basis=basis)]


EPOCHS = Chapter(
    name="epochs",
    title="The turn of an epoch",
    text=(
        f"{COUNT} epochs of {BATCHES} tiny batches, with workers that are running already where a"
        " peer keeps them. A peer that is slow at it is given fewer epochs: they are counted for"
        " four seconds, and five of them at least."
    ),
    cases=_cases,
    columns=(
        Column("epoch_ms", "ms/epoch"),
        OVER_LOOP,
        Column("first_batch_ms", "first batch ms"),
        Column("slowest_first_batch_ms", "slowest ms"),
        Column("epochs", "epochs"),
    ),
    plots=(Plot(OVER_LOOP, more_is_better=False),),
    rows=_rows,
    quick_peers=("loop", "Pool.imap", "torch numpy", "SPDL arena", "seqloader"),
)
