"""How much of two cores arrives as decoded photographs?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import pictures
from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row
from peers import Peer

from chapters.peer_streams import peer_streams

__all__ = ["PICTURES"]

TWO_LOOPS = "2 independent loops at once"
WIDTH, HEIGHT = pictures.SIZE_PX
BATCH_NBYTES = pictures.BATCH * pictures.RESIZED_PX[0] * pictures.RESIZED_PX[1] * 3
IMAGES_PER_S = Column("items_per_s", "images/s")
OF_TWO_LOOPS = Column("items_per_s", "% of two loops", 100, per=TWO_LOOPS)


def _cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    seconds: dict[str, Any] = {
        "measure_s": 1.0 if quick else 3.0,
        "warmup_s": 0.3 if quick else 0.6,
    }
    loops = Case(
        f"jpeg: {TWO_LOOPS}",
        "loops",
        workload="Pictures",
        workers=2,
        **seconds,
    )
    return [
        *peer_streams(
            "jpeg",
            quick,
            peers,
            "Pictures",
            "PicturesInArena",
            batch_nbytes=BATCH_NBYTES * 10,
            **seconds,
        ),
        loops,
    ]


def _rows(judge: Judge) -> list[Row]:
    ratios = judge.figures.ratios(judge.name(OURS), judge.name(TWO_LOOPS), "items_per_s")
    shares = [100 * ratio for ratio in ratios]
    basis = f"of {TWO_LOOPS}"
    return [Row("jpeg", "at least 97 %", shares, "%", at_least=97, basis=basis)]


PICTURES = Chapter(
    name="jpeg",
    title="Photographs: JPEGs decoded and resized",
    text=(
        f"{pictures.COUNT} JPEGs of {WIDTH}x{HEIGHT}, cut from the photographs in the scikit-image"
        f" wheel, are decoded and resized to {pictures.RESIZED_PX[0]}x{pictures.RESIZED_PX[1]} by"
        f" Pillow, {pictures.BATCH} in a batch of uint8. Two loops in two processes that deliver to"
        " nobody are what two cores can do at this work."
    ),
    cases=_cases,
    columns=(
        IMAGES_PER_S,
        OF_TWO_LOOPS,
        Column("consumer_us", "consumer CPU ms/batch", 1e-3),
        Column("all_us", "all CPU ms/batch", 1e-3),
        Column("memory_mb", "memory MB"),
    ),
    plots=(Plot(IMAGES_PER_S, limit=TWO_LOOPS, limit_words=TWO_LOOPS),),
    rows=_rows,
    beside=(IMAGES_PER_S,),
    quick_peers=("loop", "Pool.imap", "torch tensors", "SPDL arena", "seqloader"),
)
