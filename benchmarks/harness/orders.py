"""How fast a shuffled order is computed: many indices at once, one after the other, or whole.

Every order is looked at before it is timed: it must be a permutation, as far as a run can see that.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from harness.cases import Case
from harness.limits import seconds_each
from harness.workloads import WrongBatch

Indices = np.ndarray[Any, np.dtype[Any]]

KEY = 7
PLACES = 16
"""Stretches of an order that are computed in turn: one alone would train the branch predictor."""
LOOKED_AT = 100_000
"""Indices of a long order that must differ from each other."""
GRAIN_ROUNDS = 4  # what Grain's own shuffle takes


def by_chunks(case: Case) -> dict[str, float]:
    """seqloader's permutation, `chunk` neighbouring positions at a time, as a batch asks for."""
    from seqloader.order.shuffle import permutation

    length, chunk = _length(case), int(case.workload_options["chunk"])
    check_order(length, permutation(length, KEY).many)
    stretches = itertools.cycle(_stretches(length, chunk))
    keys = itertools.count()
    return _figures(
        chunk,
        call_s=seconds_each(lambda: permutation(length, KEY).many(next(stretches))),
        # A key that was never seen, so that nothing of the order is there.
        first_s=seconds_each(lambda: permutation(length, next(keys)).one(0)),
    )


def one_by_one(case: Case) -> dict[str, float]:
    """Grain's permutation, which is C++ behind a call for each index."""
    name = "grain._src.python.experimental.index_shuffle.python.index_shuffle_module"
    index_shuffle = importlib.import_module(name).index_shuffle
    length, chunk = _length(case), int(case.workload_options["chunk"])
    last = length - 1

    def many(positions: Indices) -> Indices:
        indices = [
            index_shuffle(position, max_index=last, seed=KEY, rounds=GRAIN_ROUNDS)
            for position in positions.tolist()
        ]
        return np.array(indices, np.uint64)

    check_order(length, many)
    stretches = itertools.cycle(stretch.tolist() for stretch in _stretches(length, chunk))
    keys = itertools.count()

    def stretch() -> None:
        for position in next(stretches):
            index_shuffle(position, max_index=last, seed=KEY, rounds=GRAIN_ROUNDS)

    return _figures(
        1,
        call_s=seconds_each(stretch) / chunk,
        first_s=seconds_each(lambda: index_shuffle(0, last, next(keys), GRAIN_ROUNDS)),
    )


def whole_by_numpy(case: Case) -> dict[str, float]:
    return _whole(case, np.random.default_rng(KEY).permutation)


def whole_by_torch(case: Case) -> dict[str, float]:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)  # as in a DataLoader's worker; the others have one core too
    return _whole(case, lambda length: torch.randperm(length).numpy())


def _whole(case: Case, draw: Callable[[int], Indices]) -> dict[str, float]:
    """Before there is a first index, there must be all of them."""
    length = _length(case)
    check_order(length, draw(length).__getitem__)
    drawn_s = seconds_each(lambda: draw(length))
    return _figures(length, call_s=drawn_s, first_s=drawn_s)


def _figures(indices: int, call_s: float, first_s: float) -> dict[str, float]:
    return {
        "m_indices_per_s": indices / call_s / 1e6,
        "call_us": call_s * 1e6,
        "first_index_us": first_s * 1e6,
    }


def check_order(length: int, many: Callable[[Indices], Indices]) -> None:
    """Raise WrongBatch unless the first indices are below `length` and differ from each other."""
    count = min(length, LOOKED_AT)
    indices = np.sort(many(np.arange(count, dtype=np.uint64)).astype(np.int64))
    if len(indices) != count or indices[0] < 0 or indices[-1] >= length:
        raise WrongBatch(f"{count:,} positions of {length:,} gave indices that are not of them")
    if (indices[1:] == indices[:-1]).any():
        raise WrongBatch(f"the first {count:,} positions of {length:,} have an index twice")


def _stretches(length: int, chunk: int) -> Iterator[Indices]:
    """Neighbouring positions, at places all over the order."""
    for place in range(PLACES):
        start = (length - chunk) * place // PLACES
        yield np.arange(start, start + chunk, dtype=np.uint64)


def _length(case: Case) -> int:
    return int(case.workload_options["length"])


MEASURES: dict[str, Callable[[Case], dict[str, float]]] = {
    "order_by_chunks": by_chunks,
    "order_one_by_one": one_by_one,
    "order_whole_by_numpy": whole_by_numpy,
    "order_whole_by_torch": whole_by_torch,
}
