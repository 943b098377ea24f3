"""What does the turn from one epoch to the next cost?"""

from __future__ import annotations

from collections.abc import Sequence

from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row
from peers import Peer

from chapters.paces import pace

__all__ = ["EPOCHS"]

COUNT = 50
BATCHES = 20
LOOP = "loop"
OVER_LOOP = Column("epoch_ms", "ms over the loop", less=LOOP)


def _cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    return [
        Case(
            f"epochs: {peer.name}",
            "epochs",
            peer.name,
            workload_options={"length": BATCHES},
            epochs=10 if quick else COUNT,
        ).at(pace(quick))
        for peer in peers
    ]


def _rows(judge: Judge) -> list[Row]:
    over_loop = judge.figures.differences(judge.name(OURS), judge.name(LOOP), "epoch_ms")
    work, basis = f"epochs of {BATCHES} tiny batches", "over what the plain loop takes"
    return [Row(work, "at most 1 ms", over_loop, "ms", at_most=1, basis=basis)]


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
