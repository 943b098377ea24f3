"""Does one slow batch hold up the others?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row, at_most, told
from harness.workloads import Uneven
from peers import Peer

from chapters.cases import paced

__all__ = ["UNEVEN_8", "UNEVEN_32"]

WORKERS = 4
SLEEPERS = f"{WORKERS} processes that only sleep"
PEER_ROUNDS = 2  # sleeping takes the same time each time

WALL = Column("wall_s", "s/epoch")
OVER_EVEN_SHARE = Column("over_even_share", "x ideal")
OVER_WINDOW = Column("over_ideal", "x window")
OVER_SLEEPERS = Column("wall_s", "x sleepers", per=SLEEPERS)


def _cases(chapter: str, items: int, queue: int, quick: bool, peers: Sequence[Peer]) -> list[Case]:
    def case(label: str, measure: str, engine: str, max_rounds: int | None) -> Case:
        return Case(
            f"{chapter}: {label}",
            measure,
            engine,
            "Uneven",
            {"length": items},
            workers=WORKERS,
            in_flight=queue,
            max_rounds=max_rounds,
        )

    names = [peer.name for peer in peers if not peer.is_yardstick]
    cases = [case(n, "makespan", n, None if n == OURS else PEER_ROUNDS) for n in names]
    return paced(quick, *cases, case(SLEEPERS, "sleepers", "none", None))


def _rows_32(judge: Judge) -> list[Row]:
    ours = judge.values(OURS, "over_even_share")
    basis = "of all work divided by the workers"
    reason = (
        "While a slow item is due, the others run out of the 32 permitted ones: an ordered window"
        " costs most of this whatever the loader does (the column x window divides by that). And"
        " sleeps take longer than they say: see the row below."
    )
    beside = "uneven, queue 32, beside a real ideal"
    sleepers = judge.ratios(OURS, SLEEPERS, "wall_s")
    return [
        at_most("uneven, queue 32", ours, 1.05, "x", basis=basis, reason=reason),
        told(beside, sleepers, "x", basis=f"of {SLEEPERS}"),
    ]


def _rows_8(judge: Judge) -> list[Row]:
    ours = judge.values(OURS, "over_ideal")
    basis = "of what an ordered window of 8 allows at best"
    return [at_most("uneven, queue 8", ours, 1.05, "x", basis=basis)]


UNEVEN_32 = Chapter(
    name="uneven-32",
    title="Uneven work, 32 ahead",
    text=(
        f"{WORKERS} workers; items sleep {Uneven.SHORT_S * 1e3:g} ms, every {Uneven.EVERY}th"
        f" {Uneven.LONG_S * 1e3:g} ms. The ideal is all work divided by the workers. No loader that"
        " delivers in order and computes a bounded number ahead quite reaches it: while a slow item"
        " is due, the others run out of permitted ones. *x window* is the time in units of what"
        " such a window allows at best, with costs of nothing; a loader whose window counts only"
        " what is ahead of the item that is due has a little more than that. A sleep takes a little"
        f" longer than it says: {SLEEPERS} each take an even share, and talk to nobody."
    ),
    cases=lambda quick, peers: _cases("uneven-32", 320 if quick else 1600, 32, quick, peers),
    columns=(WALL, OVER_EVEN_SHARE, OVER_WINDOW, OVER_SLEEPERS),
    plots=(Plot(OVER_EVEN_SHARE, more_is_better=False),),
    rows=_rows_32,
    beside=(WALL, OVER_EVEN_SHARE),
    quick_peers=("Pool.imap", "torch tensors", "SPDL arena", "seqloader"),
)

UNEVEN_8 = dataclasses.replace(
    UNEVEN_32,
    name="uneven-8",
    title="Uneven work, 8 ahead",
    text="The same with a queue of 8.",
    cases=lambda quick, peers: _cases("uneven-8", 160 if quick else 400, 8, quick, peers),
    plots=(Plot(OVER_WINDOW, more_is_better=False),),
    rows=_rows_8,
)
