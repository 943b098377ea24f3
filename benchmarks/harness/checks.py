"""Every batch is checked: is it the one that is due, and does it hold what was computed?

The check belongs to the consumer's cost, so it is one vectorised look at one element of each page.
"""

from __future__ import annotations

from typing import Any

from harness import workloads

__all__ = ["PAGE_NBYTES", "WrongBatch", "check_batch"]

PAGE_NBYTES = 4096


class WrongBatch(Exception):
    """A batch came out of order, was lost or doubled, or does not hold what was computed."""


def check_batch(batch: Any, index: int, touch: bool, sequence: Any = None) -> None:
    """Raise WrongBatch unless this is batch `index`; with `touch`, read an element of each page.

    Args:
        batch: `(array, labels)`.
        index: The batch that is due.
        touch: Whether the consumer reads the array.
        sequence: Where it has `touched(index)`, that is what the array must hold there, sample by
            sample; otherwise every element must be `expected(index)`.
    """
    array, labels = batch
    first, last = labels.item(0), labels.item(-1)
    if first != index or last != index:
        raise WrongBatch(f"batch {first} came where {index} was due")
    if not touch:
        return
    step = PAGE_NBYTES // array.itemsize
    if hasattr(sequence, "touched"):
        intact = bool((array.reshape(len(array), -1)[:, ::step] == sequence.touched(index)).all())
    elif array.size <= step:
        intact = array.item(0) == workloads.expected(index)
    else:
        intact = bool((array.reshape(-1)[::step] == workloads.expected(index)).all())
    if not intact:
        raise WrongBatch(f"batch {index} does not hold what was computed")
