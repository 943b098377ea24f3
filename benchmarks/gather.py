"""What does ArraySequence cost over numpy.take?

Compared    seqloader.ArraySequence in worker processes; numpy.take alone, in as many processes;
            torch's DataLoader over a TensorDataset, with its default collate
Varied      rows of 256 bytes, 3 KB (a CIFAR picture) and 150 KB (224 x 224 x 3 uint8)
Measured    batches/s, samples/s, GB/s; CPU of the consumer and of the workers for a batch
Held still  shuffled, 8 batches in flight, arrays of 256 to 617 MB with an int64 label a row, what
            the consumer touches: the labels, and one byte of each row
Method      contestants in turn A B C A B C, fresh interpreter each, warm-up not counted; measured
            in mid-epoch, with the queue in full swing; every batch checked: no row comes twice
            in an epoch, or with another row's label; ratios are taken within a round
Not shown   the turn of an epoch (epochs.py), and what computing the order costs by itself
            (permutation.py)

numpy.take is given all that can be given to it: an order that was drawn before, and buffers that
were used before, as many as there are batches in flight. It delivers to nobody: no order computed,
no other process, no consumer. So where a batch is small, what is lost is the hand-over, and where
there is a core for each worker and none for the consumer, the consumer's share. The workers' CPU
for a batch tells the two apart.

All three gather from the same arrays in shared memory. torch's workers are forked, so they are sent
nothing either.

Run         python benchmarks/gather.py [--quick] [--save]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.cases import Case, Pace
from harness.figures import Figures
from harness.script import Script
from harness.verdict import Row, at_least, told

WANTED_SHARE = 0.9
FULL = Pace(rounds=5, warmup_s=0.4, measure_s=0.8, min_batches=1, time_limit_s=60.0)
QUICK = Pace(rounds=2, warmup_s=0.2, measure_s=0.3, min_batches=1, time_limit_s=30.0)


class Size(NamedTuple):
    """What is gathered, in whole batches."""

    name: str
    rows: int
    row_nbytes: int
    batch: int


SIZES = (
    Size("256 B, 256 a batch", rows=2**20, row_nbytes=256, batch=256),
    Size("3 KB, 128 a batch", rows=2**17, row_nbytes=3072, batch=128),
    Size("150 KB, 64 a batch", rows=2**12, row_nbytes=150_528, batch=64),
)


def cases(quick: bool) -> Sequence[Case]:
    # torch takes seconds to import, and nothing of it is judged.
    torch: dict[str, Any] = {"requires": "torch", "max_rounds": 1 if quick else 2}
    compared = []
    for size in _sizes(quick):
        compared += _two(size, workers=2)
        compared.append(_case(size, "DataLoader", "gather_by_torch", "none", 2, **torch))
    alone = [case for size in SIZES for case in _two(size, workers=1)]
    return [*compared, *([] if quick else alone)]


def _two(size: Size, workers: int) -> list[Case]:
    return [
        _case(size, "numpy.take", "gather_by_take", "none", workers),
        _case(size, "ArraySequence", "gather_by_seqloader", "seqloader", workers),
    ]


def _case(size: Size, what: str, measure: str, engine: str, workers: int, **more: Any) -> Case:
    name, options = _name(size, what, workers), size._asdict()
    del options["name"]
    return Case(name, measure, engine, workload_options=options, workers=workers, **more)


def rows(figures: Figures, quick: bool) -> Sequence[Row]:
    def ours(size: Size, other: str, figure: str, workers: int = 2) -> list[float]:
        mine = _name(size, "ArraySequence", workers)
        return figures.ratios(mine, _name(size, other, workers), figure)

    wanted = [
        at_least(
            f"{size.name}, {workers} {'worker' if workers == 1 else 'workers'}",
            ours(size, "numpy.take", "gb_per_s", workers),
            WANTED_SHARE,
            "x",
            "x numpy.take",
        )
        for workers in ((2,) if quick else (2, 1))
        for size in _sizes(quick)
    ]
    beside = {
        "2 workers: their CPU for a batch": ("numpy.take", "worker_us"),
        "2 workers, against the DataLoader": ("DataLoader", "samples_per_s"),
    }
    untargeted = [
        told(f"{size.name}, {words}", ours(size, *compared), "x")
        for words, compared in beside.items()
        for size in _sizes(quick)
    ]
    return [*wanted, *untargeted]


def tables(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {
        f"Rows of {size.name}": [name for name in names if name.startswith(size.name)]
        for size in SIZES
    }


def _sizes(quick: bool) -> Sequence[Size]:
    return (SIZES[0], SIZES[-1]) if quick else SIZES


def _name(size: Size, what: str, workers: int) -> str:
    return f"{size.name}: {what} x {workers}"


if __name__ == "__main__":
    sys.exit(Script("gather", __doc__, cases, rows, tables, full=FULL, quick=QUICK).main())
