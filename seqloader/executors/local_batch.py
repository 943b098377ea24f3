"""A batch computed in the consumer's own process, by executors that have no other."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.errors import as_raisable
from seqloader.tickets import Raised

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.tickets import Ticket

__all__ = ["LocalBatch", "answer_with", "array_nbytes", "private_copy"]


class LocalBatch:
    """The outcome `Computed`, holding the batch itself."""

    __slots__ = ("_batch", "_begun", "busy_s", "nbytes", "slot", "ticket")

    def __init__(self, ticket: Ticket, slot: int, batch: Any, begun: float) -> None:
        self.ticket = ticket
        self.slot = slot
        self.nbytes = array_nbytes(batch)
        self.busy_s = time.perf_counter() - begun
        self._batch = batch
        self._begun = begun

    @property
    def taken_ns(self) -> int:
        """When it was begun, on the clock of `time.perf_counter_ns`."""
        return int(self._begun * 1e9)

    def open(self) -> Any:
        """Hand the batch over, and let go of it."""
        batch, self._batch = self._batch, None
        return batch

    def discard(self) -> None:
        """Let go of the batch."""
        self._batch = None


def answer_with(
    compute: Callable[[Ticket], Any],
    ticket: Ticket,
    slot: int,
    copy: bool,
    passing: tuple[type[BaseException], ...] = (),
) -> LocalBatch | Raised:
    """The outcome of a ticket whose batch `compute(ticket)` returns.

    Args:
        copy: whether the batch gets memory of its own.
        passing: exceptions that are nobody's outcome, and are raised.
    """
    begun = time.perf_counter()
    try:
        batch = compute(ticket)
        if copy:
            # Now and not in open(), since the Sequence may use its memory for the next batch.
            batch = private_copy(batch)
        return LocalBatch(ticket, slot, batch, begun)
    except passing:
        raise
    except BaseException as error:
        busy_s = time.perf_counter() - begun
        taken_ns = int(begun * 1e9)
        return Raised(ticket, slot, as_raisable(error), busy_s=busy_s, taken_ns=taken_ns)


def array_nbytes(batch: Any) -> int:
    """Bytes of the arrays in a nest of exactly tuple, list and dict; of other objects 0."""
    try:
        return _nbytes(batch)
    except RecursionError:  # a nest that contains itself
        return 0


def _nbytes(nest: Any) -> int:
    if isinstance(nest, np.ndarray):
        return nest.nbytes
    kind = type(nest)
    if kind is dict:
        nest = nest.values()
    elif kind is not tuple and kind is not list:
        return 0
    nbytes = 0
    for part in nest:  # most are arrays: no call for these
        nbytes += part.nbytes if type(part) is np.ndarray else _nbytes(part)
    return nbytes


def private_copy(batch: Any) -> Any:
    """A batch equal to `batch` that shares no memory with anything."""
    try:
        return _copied(batch, {})
    except RecursionError:  # a nest that contains itself, which deepcopy can follow
        return copy.deepcopy(batch)


def _copied(nest: Any, memo: dict[int, Any]) -> Any:
    kind = type(nest)
    if kind is np.ndarray and not nest.dtype.hasobject:
        return np.array(nest)
    if kind is tuple or kind is list:
        return kind([_copied(part, memo) for part in nest])
    if kind is dict:
        return {key: _copied(part, memo) for key, part in nest.items()}
    # One memo for all, so that an object that stands twice in the batch stands twice in the copy.
    return copy.deepcopy(nest, memo)
