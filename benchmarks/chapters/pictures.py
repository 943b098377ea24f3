"""How much of two cores arrives as decoded photographs?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import pictures
from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row, at_least
from peers import Peer

from chapters.cases import peer_streams

__all__ = ["PICTURES"]

TWO_LOOPS = "2 independent loops at once"
WIDTH, HEIGHT = pictures.SIZE_PX
EPOCH_NBYTES = 10 * pictures.BATCH * pictures.RESIZED_PX[0] * pictures.RESIZED_PX[1] * 3
IMAGES_PER_S = Column("items_per_s", "images/s")


def _cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    warmup_s, measure_s = (0.3, 1.0) if quick else (0.6, 3.0)
    times: dict[str, Any] = {"warmup_s": warmup_s, "measure_s": measure_s}
    work = ("Pictures", "PicturesInArena")
    streams = peer_streams(
        "jpeg", quick, peers, *work, options={}, batch_nbytes=EPOCH_NBYTES, **times
    )
    name = f"jpeg: {TWO_LOOPS}"
    loops = Case(name, "loops", workload=work[0], workers=2, warmup_s=warmup_s, measure_s=measure_s)
    return [*streams, loops]


def _rows(judge: Judge) -> list[Row]:
    shares = [100 * ratio for ratio in judge.ratios(OURS, TWO_LOOPS, "items_per_s")]
    reason = "With few rounds, one batch more or less in the window decides a percent or two."
    return [at_least("jpeg", shares, 97, "%", basis=f"of {TWO_LOOPS}", reason=reason)]


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
        Column("items_per_s", "% of two loops", 100, per=TWO_LOOPS),
        Column("consumer_us", "consumer CPU ms/batch", 1e-3),
        Column("all_us", "all CPU ms/batch", 1e-3),
        Column("memory_mb", "memory MB"),
    ),
    plots=(Plot(IMAGES_PER_S, limit=TWO_LOOPS, limit_words=TWO_LOOPS),),
    rows=_rows,
    beside=(IMAGES_PER_S,),
    quick_peers=("loop", "Pool.imap", "torch tensors", "SPDL arena", "seqloader"),
)
