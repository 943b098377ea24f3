"""What cases of the suite share: how long is measured, and the same stream by every peer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cases import Case, Pace
from harness.contestants import OURS
from peers import Peer

FULL = Pace(rounds=3, warmup_s=0.4, measure_s=1.5, min_batches=6, time_limit_s=60.0)
QUICK = Pace(rounds=1, warmup_s=0.1, measure_s=0.4, min_batches=4, time_limit_s=30.0)
IN_EMPTY = f"{OURS}, built in seqloader.empty"
FINITE_NBYTES = 2_000_000_000  # of an epoch, for peers that compute all of it ahead
FINITE_BATCHES = 3000


def pace(quick: bool) -> Pace:
    """The pace of every case, where its chapter has no reason for another."""
    return QUICK if quick else FULL


def paced(quick: bool, *cases: Case) -> list[Case]:
    """The cases at the pace of the suite."""
    return [case.at(pace(quick)) for case in cases]


def peer_streams(
    chapter: str,
    quick: bool,
    peers: Sequence[Peer],
    workload: str,
    arena_workload: str = "",
    *,
    options: Mapping[str, Any],
    batch_nbytes: float,
    **details: Any,
) -> list[Case]:
    """A stream of every peer, and of ours also with batches built in `seqloader.empty`."""
    cases = []
    for peer in peers:
        case = Case(f"{chapter}: {peer.name}", "stream", peer.name, workload, options)
        if not peer.bounded:
            length = max(16, min(FINITE_BATCHES, int(FINITE_NBYTES / batch_nbytes)))
            finite = {**options, "length": length}
            case = dataclasses.replace(case, workload_options=finite, goes_on=True)
        cases.append(case)
        if peer.name == OURS and arena_workload:
            name = f"{chapter}: {IN_EMPTY}"
            cases.append(dataclasses.replace(case, name=name, workload=arena_workload))
    return [dataclasses.replace(case, **details) for case in paced(quick, *cases)]
