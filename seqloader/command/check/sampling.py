"""Which batches are tried. Pure."""

from __future__ import annotations

__all__ = ["spread"]


def spread(length: int | None, most: int) -> list[int]:
    """Indices all over the Sequence, first and last among them, in an order that spreads, too.

    Wherever that order is cut short, what was visited lies all over the Sequence.

    Args:
        length: batches in an epoch; None: endless, and the first ones are taken.
        most: how many, at most.
    """
    if length is None:
        return list(range(most))
    count = min(length, most)
    if count < 2:
        return list(range(count))
    evenly = sorted({number * (length - 1) // (count - 1) for number in range(count)})
    return [evenly[number] for number in _halving(len(evenly))]


def _halving(count: int) -> list[int]:
    """First, last, and then the middle of each gap."""
    order, gaps = [0, count - 1], [(0, count - 1)]
    while gaps:
        next_gaps = []
        for low, high in gaps:
            if high - low > 1:
                middle = (low + high) // 2
                order.append(middle)
                next_gaps += [(low, middle), (middle, high)]
        gaps = next_gaps
    return order
