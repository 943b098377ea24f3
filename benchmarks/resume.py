"""What do save and resume cost?

Compared    seqloader, torchdata's StatefulDataLoader, Grain's mp_prefetch
Varied      how long the Sequence is, whether it is shuffled, batches or samples (BatchedSequence),
            positions that are left out
Measured    microseconds of state_dict() in mid-epoch, and how large the state is; milliseconds from
            constructing the loader to its first batch, at position 10^8 of 10^9 and at 0
Held still  2 workers, 8 batches in flight, tiny batches, a seed
Method      contestants in turn A B C A B C, fresh interpreter each. Starts are measured in
            one process, resumed and fresh in turn A B B A; a state is saved after every batch, for
            a time. The first batch of each start is checked. Medians and spread
Not shown   that what follows is the same, which is a matter of the tests; writing a state to a
            disk; torchdata with shuffle, whose sampler draws the whole order before it begins: 10^9
            numbers would not fit in most memories

Nobody goes to position 10^8 first: a saved state is set to that place, ours by seek(), and that the
right batch comes shows that it means there what it says.

Run         python benchmarks/resume.py [--quick] [--save]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from harness.cases import Case, Pace
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row, at_most, told

LENGTH = 10**9
POSITION = 10**8
SAMPLES = 32  # a batch
SKIPPED = 100
WANTED_SAVE_US, WANTED_NBYTES, WANTED_RATIO = 50, 1_000, 1.1
FULL = Pace(rounds=5, warmup_s=0.1, measure_s=1.0, min_batches=1, time_limit_s=60.0)
QUICK = Pace(rounds=2, warmup_s=0.05, measure_s=0.3, min_batches=1, time_limit_s=30.0)

WORKS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "save": {
        "10 batches": {"length": 10},
        "10^9 batches": {"length": LENGTH},
        "10^9 batches, shuffled": {"length": LENGTH, "shuffle": 1},
        f"10^9 batches, {SKIPPED} of them skipped": {"length": LENGTH, "skipped": SKIPPED},
    },
    "resume": {
        "10^9 batches": {"length": LENGTH, "position": POSITION},
        "10^9 batches, shuffled": {"length": LENGTH, "position": POSITION, "shuffle": 1},
        "10^9 samples, shuffled": {
            "length": LENGTH,
            "position": POSITION // SAMPLES,
            "batch": SAMPLES,
            "shuffle": 1,
        },
    },
}
PEERS = {"torchdata": "10^9 batches", "Grain": "10^9 batches, shuffled"}
PEER_ROUNDS = 3
"""Their libraries take seconds to import, and nothing of theirs is judged."""


def cases(quick: bool) -> Sequence[Case]:
    def case(measure: str, engine: str, work: str) -> Case:
        name, options = f"{measure}: {engine}, {work}", WORKS[measure][work]
        rounds = None if engine == "seqloader" else PEER_ROUNDS
        return Case(name, measure, engine, workload_options=options, max_rounds=rounds)

    found = []
    for measure, works in WORKS.items():
        found += [case(measure, "seqloader", work) for work in works]
        found += [case(measure, peer, work) for peer, work in _peers(quick).items()]
    return found


def _peers(quick: bool) -> Mapping[str, str]:
    return {} if quick else PEERS


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    def saved(work: str, figure: str) -> list[float]:
        return figures.values(f"save: seqloader, {work}", figure)

    def ratio(engine: str, work: str) -> list[float]:
        return figures.values(f"resume: {engine}, {work}", "resumed_over_fresh")

    saves = [
        at_most(f"state_dict(), {work}", saved(work, "save_us"), WANTED_SAVE_US, "us")
        for work in WORKS["save"]
    ]
    sizes = [
        at_most(f"its size, {work}", saved(work, "state_nbytes"), WANTED_NBYTES, "bytes")
        for work, options in WORKS["save"].items()
        if "skipped" not in options  # what the user named is part of the state
    ]
    resumes = []
    for work in WORKS["resume"]:
        name, ours = f"the first batch at 10^8 of {work}", ratio("seqloader", work)
        resumes.append(at_most(name, ours, WANTED_RATIO, "x", "x a fresh start"))
    peers = [
        told(f"the same by {peer}, {work}", ratio(peer, work), "x")
        for peer, work in _peers(quick).items()
    ]
    return [*saves, *sizes, *resumes, *peers]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {
        "To save": [name for name in names if name.startswith("save")],
        "To resume at position 10^8": [name for name in names if name.startswith("resume")],
    }


if __name__ == "__main__":
    sys.exit(Script("resume", __doc__, cases, rows, tables, full=FULL, quick=QUICK).main())
