"""What tests of randomness compute: one batch by a `Seeding`, or whole epochs by an enqueuer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from seqloader import OrderedEnqueuer
from seqloader.randomness.seeding import Seeding
from seqloader.tickets import Ticket

COUNTED = Seeding(7, reseed_globals=False)
RESEEDED = Seeding(7, reseed_globals=True)
TICKET = Ticket(epoch=2, position=41, index=907)

PROCESSES: dict[str, dict[str, Any]] = {
    "1": {"workers": 1},
    "2": {"workers": 2},
    "fork": {"workers": 2, "start_method": "fork"},
}
INLINE: dict[str, Any] = {"workers": 0}
THREADS: dict[str, Any] = {"workers": 3, "use_multiprocessing": False}
WAYS = {**PROCESSES, "thread": THREADS}


class Calls:
    """A Sequence whose batch is whatever a function returns."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call

    def __getitem__(self, index: int) -> Any:
        return self.call()


def epochs(sequence: Any, count: int = 2, **options: Any) -> list[list[Any]]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the Sequence holds random generators, which its threads")
        with OrderedEnqueuer(sequence, **options) as enqueuer:
            return [list(enqueuer) for _ in range(count)]


def batches_of(sequence: Any, count: int = 2, **options: Any) -> list[Any]:
    """Those of all epochs."""
    return [batch for batches in epochs(sequence, count, **options) for batch in batches]
