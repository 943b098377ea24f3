"""A batch computed in the consumer's own process.

Shared by the executors that have no other process to send it from.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from seqloader.tickets import Ticket

__all__ = ["LocalBatch", "array_nbytes", "private_copy"]


class LocalBatch:
    """The outcome `Computed`, holding the batch itself."""

    __slots__ = ("_batch", "busy_s", "nbytes", "slot", "ticket")

    def __init__(self, ticket: Ticket, slot: int, batch: Any, busy_s: float) -> None:
        self.ticket = ticket
        self.slot = slot
        self.nbytes = array_nbytes(batch)
        self.busy_s = busy_s
        self._batch = batch

    def open(self) -> Any:
        """Hand the batch over, and let go of it."""
        batch, self._batch = self._batch, None
        return batch

    def discard(self) -> None:
        """Let go of the batch."""
        self._batch = None


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
    if kind is tuple or kind is list:
        return sum(map(_nbytes, nest))
    if kind is dict:
        return sum(map(_nbytes, nest.values()))
    return 0


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
