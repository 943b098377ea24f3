"""Batches that all have as many rows, each with a mask of those that count.

An evaluation on several processes is exact if each does as many steps, each step's batches are of
one shape, and what counts twice is known. `remainder="pad"` sees to the first; here are the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqloader.adapters.nests import map_leaves
from seqloader.errors.integers import checked_integer
from seqloader.samples.nest import map_nest

__all__ = ["checked_rows", "masked", "rows_of"]


def masked(batch: Any, rows: int, *, padding: bool) -> tuple[Any, Any]:
    """A batch and its mask.

    Args:
        batch: A nest of arrays that have as many rows.
        rows: A shorter batch is filled up to these, with copies of its last row.
        padding: Whether another shard delivers the batch as well, so that no row of it counts.

    Returns:
        The batch, whose arrays have the shape (rows, ...), and the mask: (rows,) bool, True for
        rows that count.

    Raises:
        ValueError: It has more rows, none, or arrays of different numbers of them.
    """
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
