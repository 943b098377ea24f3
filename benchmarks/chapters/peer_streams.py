"""The same stream by every peer, which is what most chapters compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.cases import Case
from harness.contestants import OURS
from peers import Peer

from chapters.paces import pace

__all__ = ["IN_EMPTY", "peer_streams"]

IN_EMPTY = f"{OURS}, built in seqloader.empty"
FINITE_NBYTES = 2_000_000_000  # of an epoch, for peers that compute all of it ahead
FINITE_BATCHES = 3000


def peer_streams(
    chapter: str,
    quick: bool,
    peers: Sequence[Peer],
    workload: str,
    arena_workload: str = "",
    *,
    options: dict[str, Any] | None = None,
    batch_nbytes: float,
    **details: Any,
) -> list[Case]:
    """A stream of every peer, and of ours also with batches built in `seqloader.empty`."""
    cases = []
    for peer in peers:
        case = Case(f"{chapter}: {peer.name}", "stream", peer.name, workload, options or {})
        if not peer.bounded:
            length = max(16, min(FINITE_BATCHES, int(FINITE_NBYTES / batch_nbytes)))
            finite = {**case.workload_options, "length": length}
            case = dataclasses.replace(case, workload_options=finite, goes_on=True)
        cases.append(case)
        if peer.name == OURS and arena_workload:
            name = f"{chapter}: {IN_EMPTY}"
            cases.append(dataclasses.replace(case, name=name, workload=arena_workload))
    return [dataclasses.replace(case.at(pace(quick)), **details) for case in cases]
