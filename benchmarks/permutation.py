"""How fast is a shuffled order computed?

Compared    seqloader's permutation, which takes many positions in one call; Grain's, which is C++
            behind a call for each index (`index_shuffle`, four rounds, as its shuffle calls it);
            orders that are drawn whole: numpy's Generator.permutation, torch.randperm
Varied      length 10^4 ... 10^12, and how many neighbouring positions one call takes
Measured    million indices/s in one process; microseconds a call; microseconds from nothing but
            (length, key) to the order's first index
Held still  one core, one key, stretches of positions from all over the order, made beforehand
Method      contestants in turn A B C A B C, fresh interpreter each, one look at each order before
            it is timed: the first 100,000 indices must differ and be below the length
Not shown   what Grain's C++ takes without Python's call, since nobody can use it so; gathering the
            samples (gather.py)

A call costs some tens of microseconds before its first index, so a small batch reaches less than a
large one. What is wanted is wanted of calls for 16,384 positions. An order that is drawn whole
takes 8 bytes an index: 10^9 of them are 8 GB, and are not tried.

Run         python benchmarks/permutation.py [--quick] [--save]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from harness.cases import Case
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row, at_least, told

WANTED_M_PER_S = 20
LARGE = 16_384
CHUNKS = (64, 1024, LARGE, 262_144)
BESIDE_ROUNDS = 2
"""Their libraries take seconds to import, and their figures are far from any verdict."""
FITTING = (4, 6)
"""Powers of ten up to which an order is drawn whole."""


def cases(quick: bool) -> Sequence[Case]:
    return [case for power in _powers(quick) for case in _cases_of(power)]


def _cases_of(power: int) -> list[Case]:
    def case(what: str, measure: str, engine: str = "none", chunk: int = 0) -> Case:
        ours = engine == "seqloader"
        return Case(
            f"10^{power}, {what}",
            measure,
            engine,
            workload_options={"length": length, **({"chunk": chunk} if chunk else {})},
            max_rounds=None if ours else BESIDE_ROUNDS,
            requires=measure.rpartition("_")[2] if engine == "none" else "",
        )

    length = int(10**power)
    # A shorter order has one call for the whole of it.
    chunks = sorted({min(chunk, length) for chunk in CHUNKS})
    libraries = ("numpy", "torch") if power in FITTING else ()
    return [
        *(case(f"{chunk:,} a call", "order_by_chunks", "seqloader", chunk) for chunk in chunks),
        case("one a call, Grain", "order_one_by_one", "Grain", 1024),
        *(case(f"drawn whole, {each}", f"order_whole_by_{each}") for each in libraries),
    ]


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    rate, wanted = "m_indices_per_s", []
    for power in _powers(quick):
        # A call for as many as are wanted, or for the whole of a shorter order.
        name = f"10^{power}, {min(LARGE, int(10**power)):,} a call"
        values = figures.values(name, rate)
        wanted.append(at_least(name, values, WANTED_M_PER_S, "M/s", "M indices/s"))
    longest = f"10^{_powers(quick)[-1]}"
    grain = f"{longest}, one a call, Grain"
    beside = []
    for chunk in (64, 1024, LARGE):
        name = f"{longest}, {chunk:,} a call"
        ratios = figures.ratios(name, grain, rate)
        beside.append(told(f"{name}, against Grain's one a call", ratios, "x"))
    first_us = figures.values(f"{longest}, {LARGE:,} a call", "first_index_us")
    return [*wanted, *beside, told(f"the first index of {longest}, from nothing", first_us, "us")]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    lengths = dict.fromkeys(name.partition(",")[0] for name in names)
    return {
        f"Orders of {length}": [name for name in names if name.startswith(f"{length},")]
        for length in lengths
    }


def _powers(quick: bool) -> tuple[int, ...]:
    return (6, 9) if quick else (4, 6, 9, 12)


if __name__ == "__main__":
    sys.exit(Script("permutation", __doc__, cases, rows, tables).main())
