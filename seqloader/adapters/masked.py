"""Batches that all have as many rows, each with a mask of those that count.

An evaluation on several processes is exact if each does as many steps, each step's batches are of
one shape, and what counts twice is known. `remainder="pad"` sees to the first; here are the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.adapters.nests import map_leaves
from seqloader.errors.integers import checked_integer
from seqloader.samples.nest import map_nest

if TYPE_CHECKING:
    from seqloader.adapters.passes import Pass

__all__ = ["MaskedPass", "checked_rows", "masked", "rows_of"]


class MaskedPass:
    """The batches of a pass as (batch, mask).

    Args:
        batches: The pass.
        rows: Of every batch. A shorter one is filled up with copies of its last row.

    Yields:
        The batch, whose arrays have the shape (rows, ...), and the mask: (rows,) bool, True for
        rows that count. None does where the whole batch is padding, because another shard delivers
        it as well.
    """

    __slots__ = ("_batches", "_rows")

    def __init__(self, batches: Pass[Any], rows: int) -> None:
        self._batches = batches
        self._rows = rows

    def __next__(self) -> tuple[Any, Any]:
        batch = next(self._batches)
        return masked(batch, self._rows, padding=self._batches.padding)

    def has_next(self) -> bool:
        """Whether another batch comes."""
        return self._batches.has_next()

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, after the batch handed out last."""
        return self._batches.state_dict()


def masked(batch: Any, rows: int, *, padding: bool) -> tuple[Any, Any]:
    """A batch and its mask; see `MaskedPass`."""
    count = rows_of(batch)
    if count > rows:
        raise ValueError(
            f"a batch has {count} rows, and mask_rows={rows}: give the rows of the largest batch"
        )
    mask = np.zeros(rows, bool)
    if not padding:
        mask[:count] = True
    return (batch if count == rows else _filled(batch, count, rows)), mask


def checked_rows(rows: Any) -> int | None:
    """The argument `mask_rows`."""
    return None if rows is None else checked_integer("mask_rows", rows, 1)


def rows_of(batch: Any) -> int:
    """How many rows the arrays of a batch have.

    Raises:
        ValueError: They have different numbers of rows, or there is no array with rows.
    """
    counts: set[int] = set()
    map_leaves(lambda leaf: counts.add(len(leaf)) if _has_rows(leaf) else None, batch)
    if len(counts) != 1:
        raise ValueError(_told(batch))
    return counts.pop()


def _told(batch: Any) -> str:
    named: list[str] = []

    def note(leaf: Any, path: str) -> None:
        if _has_rows(leaf):
            named.append(f"batch{path} has {len(leaf)}")

    map_nest(note, batch)
    if not named:
        return "the batch holds no array with rows"
    return f"the arrays of a batch must have as many rows: {', '.join(named)}"


def _has_rows(leaf: Any) -> bool:
    """Whether it is an array, of whatever framework, with at least one dimension."""
    return len(getattr(leaf, "shape", ())) > 0


def _filled(batch: Any, count: int, rows: int) -> Any:
    if not count:
        raise ValueError("a batch without rows cannot be filled up: it has no row to repeat")
    taken = np.minimum(np.arange(rows), count - 1)
    return map_leaves(lambda leaf: leaf[taken] if _has_rows(leaf) else leaf, batch)
