"""How long until the first batch, and what does a Sequence that holds a lot cost?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.contestants import OURS
from harness.judge import Judge
from harness.verdict import Row
from harness.workloads import shared_empty
from peers import Peer

from chapters.paces import pace

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


def _cases(template: Case, quick: bool, peers: Sequence[Peer], *, forks: bool) -> list[Case]:
    """`template` for every peer and start method; the plain loop starts nothing."""
    cases = []
    for peer in peers:
        if peer.is_yardstick:
            continue
        for method in methods(peer, all_of_them=forks):
            label = f"{peer.name}, {method}" if method else peer.name
            cases.append(
                dataclasses.replace(
                    template.at(pace(quick)),
                    name=f"{template.name}: {label}",
                    engine=peer.name,
                    start_method=method,
                    max_rounds=None if peer.name == OURS else template.max_rounds,
                    time_limit_s=TIME_LIMIT_S,
                )
            )
    return cases


# --- a tiny Sequence ---------------------------------------------------------------------

TWO = 2
BARE = f"{TWO} bare interpreters"
OVER_BARE = Column("first_batch_s", "x bare interpreters", per=BARE)


def _tiny_cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    template = Case("start-tiny", "first_batch", workload_options={"length": 20}, workers=TWO)
    bare = Case(f"start-tiny: {BARE}", "interpreters", workers=TWO).at(pace(quick))
    return [*_cases(template, quick, peers, forks=not quick), bare]


def _tiny_rows(judge: Judge) -> list[Row]:
    ours = judge.name(f"{OURS}, spawn")
    ratios = judge.figures.ratios(ours, judge.name(BARE), "first_batch_s")
    seconds = judge.figures.median(ours, "first_batch_s")
    return [
        Row(
            "start, tiny Sequence",
            "at most 1.2 x",
            ratios,
            "x",
            at_most=1.2,
            basis=f"of {BARE} that import numpy and cloudpickle",
            beside="" if seconds is None else f"{seconds:.2f} s",
        )
    ]


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
    columns=(SECONDS, OVER_BARE),
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
    nbytes = QUICK_MB * 1_000_000 if quick else GB
    template = Case(
        "start-1gb",
        "first_batch",
        workload="HoldsArray",
        workload_options={"nbytes": nbytes},
        workers=FOUR,
        max_rounds=PEER_ROUNDS,
    )
    cases = _cases(template, quick, peers, forks=False)
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
        peaks = judge.values(label + WATCHED, "peak_memory_mb")
        work = f"start, 1 GB array{where}, {FOUR} workers"
        rows += [
            Row(
                f"{work}: time",
                f"at most {seconds:g} s",
                judge.values(label, "first_batch_s"),
                "s",
                at_most=seconds,
            ),
            Row(
                f"{work}: memory",
                f"at most {memory_gb:g} GB",
                [peak / 1e3 for peak in peaks],
                "GB",
                at_most=memory_gb,
            ),
        ]
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


def _paths_cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    template = Case(
        "start-paths",
        "first_batch",
        workload="HoldsPaths",
        workload_options={"count": 250_000 if quick else 1_000_000},
        workers=FOUR,
        max_rounds=PEER_ROUNDS,
    )
    return _cases(template, quick, peers, forks=False)


START_PATHS = Chapter(
    name="start-paths",
    title="Start-up: a Sequence that holds a million (path, label) tuples",
    text=(
        f"The same with a list of a million tuples (a quarter of it with `--quick`), {FOUR}"
        " workers: small Python objects, which every worker that is not forked has to build"
        " anew. Memory is that at the end of the first epoch."
    ),
    cases=_paths_cases,
    columns=(SECONDS, Column("memory_mb", "memory MB")),
    plots=(Plot(SECONDS, more_is_better=False),),
    rows=lambda judge: [],
    quick_peers=("Pool.imap", "seqloader"),
)
