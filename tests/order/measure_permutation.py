"""How fast is a shuffled order computed?

Compared    seqloader's permutation, which takes many positions in one call; Grain's, which is C++
            behind a call for each index (`index_shuffle`, four rounds, as its shuffle calls it);
            orders that are drawn whole: numpy's Generator.permutation, torch.randperm
Varied      length 10^4 ... 10^12, and how many neighbouring positions one call takes
Measured    million indices/s in one process; microseconds a call; microseconds from nothing but
            (length, key) to the order's first index
Held still  one core, one key, stretches of positions from all over the order, made beforehand
Method      each in turn, three times; medians. Each order is looked at before it is timed: its
            first 100,000 indices must differ and be below the length
Not shown   what Grain's C++ takes without Python's call, since nobody can use it so

A call costs some tens of microseconds before its first index, so a small batch reaches less than a
large one. An order that is drawn whole takes 8 bytes an index: 10^9 of them are not tried.

Run         python tests/order/measure_permutation.py
"""

from __future__ import annotations

import importlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from seqloader.order.shuffle import permutation

KEY = 7
PLACES = 16
"""Stretches of an order that are computed in turn: one alone would train the branch predictor."""
LOOKED_AT = 100_000
ROUNDS, TRIAL_S = 3, 0.1
LENGTHS = (10**4, 10**6, 10**9, 10**12)
CHUNKS = (64, 1_024, 16_384, 262_144)
MOST_DRAWN = 10**6


def check_order(length: int, many: Callable[[np.ndarray], np.ndarray]) -> None:
    """The first indices are below `length` and differ from each other."""
    count = min(length, LOOKED_AT)
    indices = np.sort(many(np.arange(count, dtype=np.uint64)).astype(np.int64))
    assert len(indices) == count
    assert indices[0] >= 0
    assert indices[-1] < length
    assert (indices[1:] != indices[:-1]).all()


def stretches(length: int, chunk: int) -> Iterator[np.ndarray]:
    """Neighbouring positions, at places all over the order, again and again."""
    starts = [(length - chunk) * place // PLACES for place in range(PLACES)]
    return itertools.cycle([np.arange(s, s + chunk, dtype=np.uint64) for s in starts])


def seconds_each(call: Callable[[], object]) -> float:
    count, begun_s = 0, time.perf_counter()
    while (passed_s := time.perf_counter() - begun_s) < TRIAL_S:
        call()
        count += 1
    return passed_s / count


def by_chunks(length: int, chunk: int) -> tuple[float, float]:
    """Seconds a call of seqloader's, and to the first index under a key that was never seen."""
    places, keys = stretches(length, chunk), itertools.count()
    call_s = seconds_each(lambda: permutation(length, KEY).many(next(places)))
    return call_s, seconds_each(lambda: permutation(length, next(keys)).one(0))


def one_by_one(shuffle: Callable[..., int], length: int) -> tuple[float, float]:
    """The same of Grain's, for one index."""
    places = itertools.cycle(next(stretches(length, 1_024)).tolist())
    keys = itertools.count()
    call_s = seconds_each(lambda: shuffle(next(places), length - 1, KEY, 4))
    return call_s, seconds_each(lambda: shuffle(0, length - 1, next(keys), 4))


def whole(draw: Callable[[int], np.ndarray], length: int) -> tuple[float, float]:
    """Before there is a first index, there must be all of them."""
    drawn_s = seconds_each(lambda: draw(length))
    return drawn_s, drawn_s


def contestants(length: int) -> Iterator[tuple[str, int, Callable[[], tuple[float, float]]]]:
    """Name, indices a call, and what measures it."""
    check_order(length, permutation(length, KEY).many)
    for chunk in CHUNKS:
        if chunk <= length:
            yield f"seqloader, {chunk:,} a call", chunk, partial(by_chunks, length, chunk)
    module = "grain._src.python.experimental.index_shuffle.python.index_shuffle_module"
    try:
        shuffle = importlib.import_module(module).index_shuffle
        yield "Grain, one a call", 1, partial(one_by_one, shuffle, length)
    except ImportError:
        print("grain is not installed")
    if length <= MOST_DRAWN:
        yield "numpy, whole", length, partial(whole, np.random.default_rng(KEY).permutation, length)
        try:
            torch = importlib.import_module("torch")
            torch.set_num_threads(1)  # as in a DataLoader's worker; the others have one core too
            yield "torch, whole", length, partial(whole, torch.randperm, length)
        except ImportError:
            print("torch is not installed")


def main() -> None:
    for length in LENGTHS:
        print(f"an order of {length:,}: million indices/s, us a call, us to the first index")
        asked = list(contestants(length))
        found = [[measure() for _, _, measure in asked] for _ in range(ROUNDS)]
        for (name, indices, _), times in zip(asked, zip(*found, strict=True), strict=True):
            call_s, first_s = (statistics.median(each) for each in zip(*times, strict=True))
            figures = (indices / call_s / 1e6, call_s * 1e6, first_s * 1e6)
            print(f"  {name:28}" + "".join(f"{figure:12.2f}" for figure in figures))


if __name__ == "__main__":
    main()
