"""How long until the first batch, and what does a Sequence that holds a lot cost?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.cases import Case
from harness.contestants import OURS
from peers import Peer

from chapters.cases import paced

TWO, FOUR = 2, 4
BARE = f"{TWO} bare interpreters"
GB, QUICK_MB = 1_000_000_000, 256
PEER_ROUNDS = 2
TIME_LIMIT_S = 90.0


def methods(peer: Peer, *, all_of_them: bool) -> list[str]:
    """Ways to start its workers that are worth a row: one that forks no copy of us, and fork."""
    fresh = [method for method in peer.start_methods if method != "fork"][:1]
    if "fork" in peer.start_methods and (all_of_them or not fresh):
        return ["fork", *fresh]
    return fresh or [""]


def _cases(
    chapter: str, quick: bool, peers: Sequence[Peer], *, forks: bool = False, **facts: Any
) -> list[Case]:
    """A case for every peer and start method; the plain loop starts nothing."""
    max_rounds = facts.pop("max_rounds", None)
    cases = []
    for peer in peers:
        for method in [] if peer.is_yardstick else methods(peer, all_of_them=forks):
            case = Case(
                f"{chapter}: {peer.name}" + (f", {method}" if method else ""),
                "first_batch",
                peer.name,
                start_method=method,
                max_rounds=None if peer.name == OURS else max_rounds,
                **facts,
            )
            cases.append(case)
    return [dataclasses.replace(c, time_limit_s=TIME_LIMIT_S) for c in paced(quick, *cases)]


def tiny(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    facts: Any = {"workload_options": {"length": 20}, "workers": TWO}
    bare = Case(f"start-tiny: {BARE}", "interpreters", workers=TWO)
    return [*_cases("start-tiny", quick, peers, forks=not quick, **facts), *paced(quick, bare)]


def array(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    options = {"nbytes": QUICK_MB * 1_000_000 if quick else GB}
    facts: Any = {"workload_options": options, "workers": FOUR, "max_rounds": PEER_ROUNDS}
    cases = _cases("start-1gb", quick, peers, workload="HoldsArray", **facts)
    ours = [case for case in cases if case.engine == OURS]
    if ours:
        name = f"start-1gb: {OURS}, array in seqloader.shared_empty"
        cases.append(dataclasses.replace(ours[0], name=name, workload="HoldsSharedArray"))
    watched = [
        dataclasses.replace(c, name=f"{c.name}, watched", watch_memory=True, max_rounds=1)
        for c in cases
    ]
    return [*cases, *watched]


def paths(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    options = {"count": 250_000 if quick else 1_000_000}
    facts: Any = {"workload_options": options, "workers": FOUR, "max_rounds": PEER_ROUNDS}
    return _cases("start-paths", quick, peers, workload="HoldsPaths", **facts)
