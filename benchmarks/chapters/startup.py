"""How long until the first batch, and what does a Sequence that holds a lot cost?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row, at_most
from harness.workloads import shared_empty
from peers import Peer

from chapters.cases import paced

__all__ = ["START_ARRAY", "START_PATHS", "START_TINY"]

WATCHED = ", watched"  # ends the label of a run whose memory is sampled
FEW = ("Pool.imap", "SPDL arena", "seqloader")  # of --quick
PEER_ROUNDS = 2
TIME_LIMIT_S = 90.0

SECONDS = Column("first_batch_s", "first batch s")


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


# --- a tiny Sequence ---------------------------------------------------------------------

TWO = 2
BARE = f"{TWO} bare interpreters"


def _tiny_cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    facts: dict[str, Any] = {"workload_options": {"length": 20}, "workers": TWO}
    bare = Case(f"start-tiny: {BARE}", "interpreters", workers=TWO)
    return [*_cases("start-tiny", quick, peers, forks=not quick, **facts), *paced(quick, bare)]


def _tiny_rows(judge: Judge) -> list[Row]:
    ours = f"{OURS}, spawn"
    seconds = judge.figures.median(judge.name(ours), "first_batch_s")
    beside = "" if seconds is None else f"{seconds:.2f} s"
    ratios = judge.ratios(ours, BARE, "first_batch_s")
    basis = f"of {BARE} that import numpy and cloudpickle"
    return [at_most("start, tiny Sequence", ratios, 1.2, "x", basis=basis, beside=beside)]


START_TINY = Chapter(
    name="start-tiny",
    title="Start-up: a tiny Sequence",
    text=(
        f"Seconds from nothing to the first batch, {TWO} workers. The peer's library was imported"
        " before, as in a program that trains. Workers that are forked take over all that the"
        " consumer has imported; all others begin with a fresh interpreter, which is the only way"
        f" that is safe once there are threads. {BARE} import numpy and cloudpickle at once and"
        " end: less than that no fresh worker can take."
    ),
    cases=_tiny_cases,
    columns=(SECONDS, Column("first_batch_s", "x bare interpreters", per=BARE)),
    plots=(Plot(SECONDS, more_is_better=False, limit=BARE, limit_words=BARE),),
    rows=_tiny_rows,
    beside=(SECONDS,),
    quick_peers=FEW,
)


# --- a Sequence that holds an array ------------------------------------------------------

FOUR = 4
GB = 1_000_000_000
QUICK_MB = 256
SHARED = f"{OURS}, array in seqloader.shared_empty"
PEAK = Column("peak_memory_mb", "peak memory GB", 1e-3, suffix=WATCHED)


def _array_cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    cases = _cases(
        "start-1gb",
        quick,
        peers,
        workload="HoldsArray",
        workload_options={"nbytes": QUICK_MB * 1_000_000 if quick else GB},
        workers=FOUR,
        max_rounds=PEER_ROUNDS,
    )
    ours = [case for case in cases if case.engine == OURS]
    if ours and shared_empty() is not None:
        name = f"start-1gb: {SHARED}"
        cases.append(dataclasses.replace(ours[0], name=name, workload="HoldsSharedArray"))
    watched = [
        dataclasses.replace(case, name=case.name + WATCHED, watch_memory=True, max_rounds=1)
        for case in cases
    ]
    return [*cases, *watched]


def _array_rows(judge: Judge) -> list[Row]:
    if judge.quick:
        return []  # what must be reached is said of a whole GB
    rows = []
    wanted = {f"{OURS}, spawn": ("", 1.2, 2.3), SHARED: (" in seqloader.shared_empty", 0.4, 1.3)}
    for label, (where, seconds, memory_gb) in wanted.items():
        work = f"start, 1 GB array{where}, {FOUR} workers"
        peaks_gb = [peak / 1e3 for peak in judge.values(label + WATCHED, "peak_memory_mb")]
        first_s = judge.values(label, "first_batch_s")
        rows.append(at_most(f"{work}: time", first_s, seconds, "s"))
        rows.append(at_most(f"{work}: memory", peaks_gb, memory_gb, "GB"))
    return rows


START_ARRAY = Chapter(
    name="start-1gb",
    title="Start-up: a Sequence that holds 1 GB",
    text=(
        f"The Sequence holds an array of 1 GB ({QUICK_MB} MB with `--quick`); {FOUR} workers,"
        " started without fork where the peer has a choice. Memory is the most of all processes"
        " together, PSS plus shared memory files counted once, the consumer's own array included;"
        " it is sampled from outside in a run of its own, since sampling takes time."
    ),
    cases=_array_cases,
    columns=(SECONDS, PEAK),
    plots=(
        Plot(SECONDS, more_is_better=False),
        Plot(PEAK, more_is_better=False, suffix="-memory"),
    ),
    rows=_array_rows,
    quick_peers=FEW,
)


# --- a Sequence that holds a list --------------------------------------------------------

START_PATHS = Chapter(
    name="start-paths",
    title="Start-up: a Sequence that holds a million (path, label) tuples",
    text=(
        f"The same with a list of a million tuples (a quarter of it with `--quick`), {FOUR}"
        " workers: small Python objects, which every worker that is not forked has to build"
        " anew. Memory is that at the end of the first epoch."
    ),
    cases=lambda quick, peers: _cases(
        "start-paths",
        quick,
        peers,
        workload="HoldsPaths",
        workload_options={"count": 250_000 if quick else 1_000_000},
        workers=FOUR,
        max_rounds=PEER_ROUNDS,
    ),
    columns=(SECONDS, Column("memory_mb", "memory MB")),
    plots=(Plot(SECONDS, more_is_better=False),),
    rows=lambda judge: [],
    quick_peers=("Pool.imap", "seqloader"),
)
