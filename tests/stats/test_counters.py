"""The counts behind `Stats`."""

from __future__ import annotations

import random

from seqloader.stats.counters import SLOWEST_KEPT, Counters


def test_the_slowest_batches_of_an_epoch_are_those_kept():
    counters, rng = Counters(), random.Random(0)
    taken = {index: rng.random() for index in range(500)}
    counters.begin_epoch(0, 0.0, None)
    counters.note_slow(7, 1000.0)  # of the epoch before
    counters.begin_epoch(1, 1.0, None)

    for index, seconds in taken.items():
        if seconds > counters.slow_from_s:
            counters.note_slow(index, seconds)

    slowest = sorted(taken, key=taken.__getitem__, reverse=True)[:SLOWEST_KEPT]
    assert [index for _, index in sorted(counters.slow, reverse=True)] == slowest
