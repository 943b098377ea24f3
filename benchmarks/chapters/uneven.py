"""Does one slow batch hold up the others? And what does the turn of an epoch cost?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cases import Case
from harness.contestants import OURS
from harness.workloads import Uneven
from peers import Peer

from chapters.cases import paced

WORKERS = 4
SLEEPERS = f"{WORKERS} processes that only sleep"
SHORT_MS, LONG_MS, EVERY = Uneven.SHORT_S * 1e3, Uneven.LONG_S * 1e3, Uneven.EVERY
PEER_ROUNDS = 2  # sleeping takes the same time each time
EPOCHS = 50
BATCHES = 20


def uneven_32(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    return _cases("uneven-32", 320 if quick else 1600, 32, quick, peers)


def uneven_8(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    return _cases("uneven-8", 160 if quick else 400, 8, quick, peers)


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


def epochs(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    facts: Any = {"workload_options": {"length": BATCHES}, "epochs": 10 if quick else EPOCHS}
    return paced(quick, *(Case(f"epochs: {p.name}", "epochs", p.name, **facts) for p in peers))
